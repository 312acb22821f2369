"""`graft compare`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from visiongraft.cli.arguments import Spread, flat, usual
from visiongraft.cli.entrants import (
    MODELS,
    Entrants,
    check_entrants,
    entrants_named,
    entrants_of_preset,
    reference_among,
)
from visiongraft.cli.groups import Grafts, Images, Machine, Shown, Source
from visiongraft.cli.narrator import Teller
from visiongraft.cli.runs import RUNS, short_name
from visiongraft.cli.values import ImageSize, check_share, check_writable, parse_image
from visiongraft.compare.budget import parse_budget
from visiongraft.compare.folder import ComparisonFolder
from visiongraft.compare.plan import Entry, Plan, mark_of, mark_of_weights
from visiongraft.compare.table import Comparison, Row, points
from visiongraft.compare.trials import Circumstances, run_comparison
from visiongraft.data.kept import kept_in_memory
from visiongraft.errors import DataError, GraftError, printable
from visiongraft.explain.comparison import write_comparison
from visiongraft.kernels.types import Grid
from visiongraft.surgery.words import Graft
from visiongraft.train.crew import check_alone
from visiongraft.train.devices import keep_freed_memory, workers_for
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import DEFAULT, find_recipe
from visiongraft.train.step import taken_at_once

BUDGET = "17m"
"""How long all runs take where nobody says."""


def defaults(recipe: str) -> dict[str, object]:
    """Give what the options of `run` are where nobody gives them, under a recipe; its epochs are the comparison's.

    Raises:
        GraftError: if there is no such recipe.
    """
    options = find_recipe(recipe).options
    return {name: value for name, value in options.items() if name in usual(run) and name != "epochs"}


def run(
    *,
    recipe: str = DEFAULT,
    models: str | None = None,
    grafts: Annotated[Grafts, Spread()],
    source: Annotated[Source, Spread()],
    preset: str | None = None,
    against: str | None = None,
    images: Annotated[Images, Spread()],
    output: Path | None = None,
    image: ImageSize | None = None,
    shown: Annotated[Shown, Spread()],
    seeds: int = 3,
    epochs: int | None = None,
    budget: str | None = None,
    how: Annotated[Recipe, Spread(without=("epochs", "keep", "seed"))],
    machine: Annotated[Machine, Spread(without=("devices",))],
    max_unreadable: float = 0.01,
) -> Comparison:
    """Find out which of several networks is better on your data, and how sure that is.

    Each is trained with several seeds, under one recipe, on one split, within one budget. The same command goes on
    where it was stopped or killed. Without options: four small networks on the bundled flowers, in about 20 minutes.

    Examples:
        graft compare
        graft compare --models resnet50,botnet50,cotnet50 --data photos/ --image 224 --epochs 90
        graft compare --models resnet_pico,coatnet_pico --data photos/ --seeds 5 --budget 1h30m
        graft compare --models torchvision:resnet18 --graft "layer4.*.conv2=GridAttention(heads=4)" --data photos/
        graft compare --models resnet_pico --graft "stages.2+=GridAttention() | stages.2+=ContextualTransformer()"
        graft compare --preset botnet-position-pico
        graft compare --preset coatnet-layout --data imagenet --data-dir imagenet/ --epochs 90

    Args:
        recipe: a name of `graft list --recipes`, for all models; options that are given beside it win
        models: names of `graft list`, or a library's, as torchvision:resnet18, with commas between them; the others
            are compared with the first
        grafts: what is grafted
        graft: what to graft into the first model, which is compared as it is and grafted: PLACE=MIXER in the place of
            a convolution, PLACE+=MIXER behind a module; several have ; between them, and | where another model begins
        source: of the weights that the models begin with
        pretrained: let each model begin with weights that others published, which are fetched once and kept; grafted
            forms begin with those of their model
        weights: let the one model and its grafted forms begin with those of a file or a run folder
        preset: an ablation of a paper in place of --models, as botnet-position, botnet-c5, coatnet-layout, non-local,
            convmixer-patch-kernel or cot-fusion; with -pico behind it, of networks that two cores can train
        against: the model that the others are compared with; by default the first
        images: which ones
        output: folder for the comparison; by default one in runs/ whose name follows from the options
        image: size in pixels, as 224 or as 256x128 for height and width; by default each network's own
        shown: what images go through
        seeds: runs of each model, at least 2
        epochs: of each run
        budget: in place of --epochs, the training time of all runs together, as 20m or 1.5h, of which each gets the
            same share; by default 17m
        how: the recipe of all runs, each field of it
        machine: what computes
        max_unreadable: share of the images that may be unreadable before a run stops
    """
    options = flat(run, locals())
    check_alone("graft compare")
    check_share(max_unreadable, of="--max-unreadable")
    seconds = _budget(epochs, budget)
    how = _as_compared(how, recipe, epochs, source)
    place = machine.place()
    entrants = _entrants(models, preset, parse_image(image), grafts.variants(), source)
    check_entrants(entrants, seeds)
    specs, plain = entrants.specs, entrants.preprocessing
    reference = reference_among(against, specs)
    preprocessing = shown.over(plain, plain.image)
    check_writable(output or RUNS, "--output", kind="folder")
    data = kept_in_memory(images.opened(), "auto")
    if len(data.val) < 2:
        raise DataError(f"{data.name} has one image to be scored on, and a comparison needs more. Give more in val/.")
    plan = Plan(
        entries=tuple(Entry(spec, 0 if seconds else how.epochs) for spec in specs),
        seeds=tuple(range(seeds)),
        recipe=how,
        data=mark_of(data),
        budget=seconds,
        device=place.type,
        preset=preset.lower() if preset else None,
        preprocessing=preprocessing,
        begun=mark_of_weights(entrants.starts),
    )
    folder = ComparisonFolder(output or RUNS / _name(plan, images.data))
    keep_freed_memory()
    with Teller(data.notes) as teller:
        around = Circumstances(
            data=data,
            folder=folder,
            device=place,
            workers=workers_for(machine.workers, in_memory=taken_at_once(data, how)),
            max_unreadable=max_unreadable,
            options=_of_each_run(options, how),
            witness=teller,
            starts=entrants.starts,
        )
        try:
            found = run_comparison(plan, around, reference=reference)
        except KeyboardInterrupt:
            teller.say(f"What is finished is kept in {folder.path}; the same command goes on.")
            raise
    write_comparison(found, notes=data.notes, command=_command(options), device=place)
    return found


def _entrants(
    models: str | None, preset: str | None, size: Grid | None, variants: Sequence[tuple[Graft, ...]], source: Source
) -> Entrants:
    """Give what is compared.

    Raises:
        GraftError: if nothing of that kind can be.
    """
    if preset is None:
        return entrants_named(models or MODELS, size, variants, source)
    if models is not None:
        raise GraftError("--models and --preset both say what to compare. Give one of them.")
    if source:
        raise GraftError("--preset compares networks from random weights. Leave out --pretrained and --weights.")
    return entrants_of_preset(preset, size, variants)


def _as_compared(recipe: Recipe, name: str, epochs: int | None, source: Source) -> Recipe:
    """Give a recipe as a comparison trains by it.

    Raises:
        GraftError: if the one of that name begins with trained weights, and there are none.
    """
    named = find_recipe(name)
    if named.weights and not source:
        raise GraftError(f"--recipe {name} begins with trained weights. Add --pretrained or --weights FILE.")
    return replace(recipe, epochs=named.recipe.epochs if epochs is None else epochs, keep="last")


def _budget(epochs: int | None, budget: str | None) -> float | None:
    """Give the seconds for all runs, or None where their epochs are given.

    Raises:
        GraftError: for both, or for what is no time.
    """
    if epochs is not None and budget is not None:
        raise GraftError("--epochs and --budget both say how long a run is. Give one of them.")
    return None if epochs is not None else parse_budget(budget or BUDGET)


def _of_each_run(options: Mapping[str, object], recipe: Recipe) -> dict[str, object]:
    """Give the options with which `graft train` repeats a run of the comparison, but its model, epochs and seed."""
    shared = (
        "recipe",
        "plugin",
        "pretrained",
        "weights",
        "weights_dir",
        "offline",
        "data",
        "data_dir",
        "image",
        "mean",
        "std",
        "interpolation",
        "crop_pct",
        "workers",
        "device",
        "max_unreadable",
    )
    return {name: options[name] for name in shared} | asdict(recipe)


def _name(plan: Plan, data: str | None) -> str:
    """Name the folder of a comparison so that the same question finds it again, and another one does not."""
    open_plan = replace(plan, entries=tuple(replace(each, epoch_seconds=None) for each in plan.entries))
    digest = blake2b(open_plan.to_json().encode("utf-8", "surrogateescape"), digest_size=3).hexdigest()
    return f"compare-{plan.preset or plan.entries[0].name}-{short_name(data)}-{digest}"


def _command(options: Mapping[str, object]) -> dict[str, object]:
    """Give the options that are not what they are when nothing is said."""
    when_nobody_says = usual(run) | defaults(str(options["recipe"]))
    return {name: value for name, value in options.items() if value != when_nobody_says[name]}


def as_json(found: Comparison) -> dict[str, object]:
    """Give the answers, the table and where everything lies."""
    return {
        "answers": list(found.answers),
        "models": found.as_dicts(),
        "seeds": list(found.plan.seeds),
        "train_seconds": found.seconds,
        "table": str(found.folder.table),
        "report": str(found.folder.report),
    }


def show(found: Comparison) -> None:
    """Print a line for each network, the answers, and where everything lies."""
    width = max(len(row.name) for row in found.rows)
    print(f"{'':{width}}  {'top-1':>6}  {'95% over seeds':>16}  {'params':>8}  {'MACs':>8}  {'ms/image':>8}")
    for row in found.rows:
        print(f"{row.name:{width}}  {_score(row)}  {row.summary.params / 1e6:7.2f}M  {row.summary.macs / 1e6:7.1f}M"
              f"  {1e3 * row.latency.seconds:8.2f}")  # fmt: skip
    print()
    for sentence in found.answers:
        print(printable(sentence))
    print(f"\ntable     {found.folder.table}")
    print(f"report    {found.folder.report}")


def _score(row: Row) -> str:
    if row.score is None:
        return f"{'–':>6}  {'diverged':>16}"
    interval = f"{points(row.score.low)} to {points(row.score.high)}"
    return f"{row.score.mean:6.1%}  {interval:>16}"


def check(found: Comparison) -> None:
    """Say on standard error where a network could not be compared."""
    for row in found.rows:
        for each in row.failures:
            print(f"graft: {each.model} diverged with seed {each.seed}: {printable(each.reason)}", file=sys.stderr)
