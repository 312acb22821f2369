"""`graft train`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from visiongraft.cli.arguments import Spread, flat, usual
from visiongraft.cli.beginning import begin
from visiongraft.cli.ended import check as check
from visiongraft.cli.ended import ended_as_json, show_ended
from visiongraft.cli.groups import Grafts, Images, Machine, Shown, Source, Upkeep
from visiongraft.cli.narrator import Narrator
from visiongraft.cli.runs import (
    RUNS,
    check_are_classes,
    folder_of,
    known_run,
    pointing_to_detectors,
    saying_where_it_began,
    short_name,
)
from visiongraft.cli.values import ImageSize, check_writable, parse_image
from visiongraft.data.kept import Cache, kept_in_memory
from visiongraft.errors import GraftError
from visiongraft.explain.report import write_report
from visiongraft.surgery.network import check_takes
from visiongraft.train.classification import Classifying
from visiongraft.train.crew import leads
from visiongraft.train.devices import Hardware, Strategy, keep_freed_memory, workers_for
from visiongraft.train.engine import Outcome, train
from visiongraft.train.freezing import check_parts
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import DEFAULT, find_recipe
from visiongraft.train.step import taken_at_once


def defaults(recipe: str) -> dict[str, object]:
    """Give what the options of `run` are where nobody gives them, under a recipe.

    Raises:
        GraftError: if there is no such recipe.
    """
    return find_recipe(recipe).options


def run(
    *,
    recipe: str = DEFAULT,
    model: str | None = None,
    grafts: Annotated[Grafts, Spread()],
    source: Annotated[Source, Spread()],
    images: Annotated[Images, Spread()],
    output: Path | None = None,
    image: ImageSize | None = None,
    val_image: ImageSize | None = None,
    shown: Annotated[Shown, Spread()],
    how: Annotated[Recipe, Spread()],
    machine: Annotated[Machine, Spread()],
    strategy: Strategy = "ddp",
    compile: bool = False,
    cache: Cache = "auto",
    upkeep: Annotated[Upkeep, Spread()],
) -> Outcome:
    """Train a network on images.

    Without options: a small CoAtNet on the bundled photographs of flowers, in about three minutes on two cores. With
    --recipe NAME, the other options' defaults are that recipe's, which `graft train --recipe NAME --help` shows.

    Examples:
        graft train
        graft train --data photos/ --model botnet50 --image 224 --batch-size 32 --epochs 100
        graft train --recipe convmixer_cifar --data cifar10 --data-dir downloads/
        graft train --data photos/ --model coatnet_0_rw_224 --pretrained --opt adamw --lr 2e-4 --epochs 10
        graft train --data more/ --weights runs/coatnet_pico-photos --lr 2e-3
        graft train --config runs/coatnet_pico-photos/config.yaml --seed 1
        graft train --resume runs/coatnet_pico-photos
        graft train --data photos/ --model torchvision:resnet18 --graft "layer4.*.conv2=GridAttention(heads=4)"

    Args:
        recipe: a name of `graft list --recipes`; options that are given beside it win
        model: a name of `graft list`; with _small behind it, its form for images of 32 pixels or so, and with
            --pretrained perhaps a tag, as coatnet_0_rw_224.sw_in1k; or a library's, as torchvision:resnet50; by
            default the recipe's, or what --weights is of
        grafts: what is grafted into it
        source: of the weights that it begins with
        images: which ones
        output: folder for everything that the run writes; by default a new one in runs/
        image: size in pixels, as 224 or as 256x128 for height and width; by default the network's own
        val_image: the same for validation and for all later use; by default --image
        shown: what images go through
        how: under the recipe's name, and with its defaults, each field of it
        machine: what computes
        workers: processes that read images; auto for none if they are in memory and --aa is none, else one per spare
            core
        strategy: ddp, where each process holds the whole network, or fsdp, where each holds a part of every tensor
        compile: let PyTorch compile code for the steps of this very network, once for each size of its images;
            validation stays as it is
        cache: ram keeps the pictures of a folder in memory once they are read; auto does so where they take at most a
            twentieth of it
        upkeep: how the run goes on in spite of what may happen
    """
    options = flat(run, locals())
    # All that can be refused without reading the data is, since a large folder takes minutes to search.
    place = machine.place()
    crew = Hardware(place, machine.devices).crew()
    grown = grafts.parsed()
    size, scored = parse_image(image), parse_image(val_image, "--val-image")
    named = find_recipe(recipe)
    if named.weights and not (source or upkeep.resume):
        raise GraftError(f"--recipe {recipe} begins with trained weights. Give them as in `{named.command}`.")
    model = options["model"] = model if source.weights else model or named.model
    check_writable(upkeep.resume or output or RUNS, "--output", kind="folder")
    known = known_run(output, upkeep.resume)
    begun = begin(model, size, source, known=known, grafts=grown)
    spec = begun.spec
    preprocessing = shown.over(begun.preprocessing, scored or spec.image)
    check_takes(spec, preprocessing.image)
    check_parts(spec, how.freeze)
    folder = folder_of(known, output, f"{spec.name}-{short_name(images.data)}")
    with saying_where_it_began(images.data, upkeep.resume), pointing_to_detectors(images.data):
        data = images.opened()
    check_are_classes(data.classes, images.data)
    data = kept_in_memory(data, cache, processes=crew.here)
    workers = workers_for(machine.workers, in_memory=taken_at_once(data, how))
    keep_freed_memory()
    with Narrator(data.notes) if leads() else nullcontext() as narrator:
        outcome = train(
            Classifying(spec, data, how, preprocessing, begun.weights),
            folder,
            hardware=Hardware(place, machine.devices, strategy, workers, "compiled" if compile else "eager"),
            options=options,
            max_unreadable=upkeep.max_unreadable,
            save_minutes=upkeep.save_minutes,
            resume=upkeep.way,
            listener=narrator,
        )
    if not leads():
        raise SystemExit(0)  # the first process reports
    when_nobody_says = usual(run) | defaults(recipe) | {"model": None if source.weights else named.model}
    write_report(outcome, data, options=options, defaults=when_nobody_says, device=place)
    return outcome


def as_json(outcome: Outcome) -> dict[str, object]:
    """Give the score and where everything lies."""
    found = outcome.evaluation
    return {"val_top1": found.top1, "val_loss": found.loss, **ended_as_json(outcome)}


def show(outcome: Outcome) -> None:
    """Print the score and where everything lies."""
    show_ended(outcome, f"val top-1 {outcome.evaluation.top1:.2%}")
