"""`graft list`."""

from visiongraft.errors import UnknownModel, nearest
from visiongraft.families.zoo import FAMILIES, list_models


def run(pattern: str = "*") -> dict[str, list[str]]:
    """List the networks of the zoo, by family.

    Examples:
        graft list
        graft list "cot*"

    Args:
        pattern: only names that match, such as "cot*" or "*50"; quote it, or the shell looks for files
    """
    names = set(list_models(pattern))
    found = {family: [spec.name for spec in specs if spec.name in names] for family, specs in FAMILIES.items()}
    if not names:
        raise UnknownModel(f"No network matches {pattern!r}.{nearest(pattern.strip('*'), list_models())}")
    return {family: members for family, members in found.items() if members}


def as_json(found: dict[str, list[str]]) -> list[dict[str, str]]:
    """Give the names with their family."""
    return [{"name": name, "family": family} for family, names in found.items() for name in names]


def show(found: dict[str, list[str]]) -> None:
    """Print a line per network, below its family."""
    for family, names in found.items():
        print(family)
        for name in names:
            print(f"  {name}")
