"""`graft list`."""

from dataclasses import asdict
from fnmatch import fnmatchcase

from visiongraft.errors import GraftError, UnknownModel, counted, nearest
from visiongraft.families.zoo import FAMILIES, list_models
from visiongraft.train.recipes import RECIPES, NamedRecipe
from visiongraft.weights.origins import sources_of
from visiongraft.weights.sources import WeightSet, find_weight_sets

Found = dict[str, list[str]] | dict[str, list[WeightSet]] | list[NamedRecipe]
"""Names, or published weights, by family; or recipes."""


def run(pattern: str = "*", *, pretrained: bool = False, recipes: bool = False) -> Found:
    """List the networks of the zoo, by family.

    Examples:
        graft list
        graft list "cot*"
        graft list --pretrained
        graft list --recipes

    Args:
        pattern: only names that match, such as "cot*" or "*50"; quote it, or the shell looks for files
        pretrained: list the published weights instead: name with tag, image size, score that is claimed, licence
        recipes: list what --recipe of `graft train` takes instead: name, network, source, what it gave there and here
    """
    if recipes:
        return _recipes(pattern)
    if pretrained:
        return _published(pattern)
    names = set(list_models(pattern))
    found = {family: [spec.name for spec in specs if spec.name in names] for family, specs in FAMILIES.items()}
    if not names:
        near = nearest(pattern.strip("*"), list_models())
        raise UnknownModel(f"No network matches {pattern!r}.{near} `graft list` shows all.")
    return {family: members for family, members in found.items() if members}


def _recipes(pattern: str) -> list[NamedRecipe]:
    found = [each for each in RECIPES if fnmatchcase(each.name, pattern)]
    if not found:
        near = nearest(pattern.strip("*"), [each.name for each in RECIPES])
        raise GraftError(f"No recipe matches {pattern!r}.{near} `graft list --recipes` shows all.")
    return found


def _published(pattern: str) -> dict[str, list[WeightSet]]:
    sets = find_weight_sets(pattern)
    if not sets:
        near = _as_files(pattern) or nearest(pattern.strip("*"), {each.network for each in find_weight_sets()})
        raise UnknownModel(
            f"No weights that can be fetched match {pattern!r}.{near} `graft list --pretrained` shows those that can."
        )
    families = {spec.name: family for family, specs in FAMILIES.items() for spec in specs}
    found: dict[str, list[WeightSet]] = {}
    for each in sets:
        found.setdefault(families[each.network], []).append(each)
    return found


def _as_files(pattern: str) -> str:
    """Say which networks that match have weights that others keep as files, and what takes these; empty for none."""
    kept = {name: sources[0] for name in list_models(pattern) if (sources := sources_of(name))}
    if not kept:
        return ""
    name, source = next(iter(kept.items()))
    others = f" and {counted(len(kept) - 1, 'other network')}" if len(kept) > 1 else ""
    return (
        f" Those of {name}{others} are files that their authors keep elsewhere, or your own: `graft convert FILE"
        f" OUT.safetensors --from {source} --model {name}` takes such a one."
    )


def as_json(found: Found) -> list[dict[str, object]]:
    """Give the names with their family, and what is known of published weights or of recipes."""
    if isinstance(found, list):
        return [{**asdict(each), "command": each.command} for each in found]
    return [{**_plain(each), "family": family} for family, members in found.items() for each in members]


def _plain(each: str | WeightSet) -> dict[str, object]:
    if isinstance(each, str):
        return {"name": each}
    return {
        "name": each.name,
        "image": list(each.preprocessing.image),
        "num_classes": each.num_classes,
        "claimed_top1": each.claim.top1 if each.claim else None,
        "claimed_at": each.claim.image if each.claim else None,
        "licence": each.licence,
        "repository": each.repository,
    }


def show(found: Found) -> None:
    """Print a line per network or set of weights, below its family, or some lines per recipe."""
    if isinstance(found, list):
        for recipe in found:
            print(recipe.name)
            for about in ("command", "model", "source", "published", "measured"):
                print(f"  {about:9}  {getattr(recipe, about)}")
        return
    for family, members in found.items():
        print(family)
        lines = [(each, "") if isinstance(each, str) else (each.name, _in_words(each)) for each in members]
        width = max(len(name) for name, _ in lines)
        for name, about in lines:
            print(f"  {name:{width}}  {about}".rstrip())


def _in_words(each: WeightSet) -> str:
    height, width = each.preprocessing.image
    score = f"top-1 {each.claim.top1:.1%} at {each.claim.image}, as claimed" if each.claim else "no score known"
    return f"{height}x{width}  {each.num_classes:>5} classes  {score:30}  {each.licence}"
