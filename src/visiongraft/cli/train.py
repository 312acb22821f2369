"""`graft train`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

from visiongraft.cli.arguments import Spread, flat, usual
from visiongraft.cli.beginning import begin
from visiongraft.cli.grafting import parse_grafts, run_plugin
from visiongraft.cli.narrator import Narrator
from visiongraft.cli.runs import (
    RUNS,
    check_are_classes,
    known_run,
    pointing_to_detectors,
    saying_where_it_began,
    short_name,
)
from visiongraft.cli.values import (
    ImageSize,
    check_positive,
    check_share,
    check_workers,
    check_writable,
    parse_image,
    preprocessed,
)
from visiongraft.data.kept import Cache, kept_in_memory
from visiongraft.data.sources import open_data
from visiongraft.errors import GraftError, counted
from visiongraft.explain.report import write_report
from visiongraft.preprocessing import Interpolation
from visiongraft.surgery.network import check_takes
from visiongraft.train.classification import Classifying
from visiongraft.train.crew import is_a_restart, leads
from visiongraft.train.devices import Hardware, Strategy, find_device, keep_freed_memory, workers_for
from visiongraft.train.engine import Outcome, train
from visiongraft.train.freezing import check_parts
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import DEFAULT, find_recipe
from visiongraft.train.run import RunFolder, plan_run
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
    graft: str | None = None,
    graft_lose: str | None = None,
    plugin: Path | None = None,
    pretrained: bool = False,
    weights: Path | None = None,
    weights_dir: Path | None = None,
    offline: bool = False,
    data: str | None = None,
    data_dir: Path | None = None,
    download: Literal["never", "if_missing"] = "never",
    output: Path | None = None,
    image: ImageSize | None = None,
    val_image: ImageSize | None = None,
    mean: str | None = None,
    std: str | None = None,
    interpolation: Interpolation | None = None,
    crop_pct: float | None = None,
    how: Annotated[Recipe, Spread()],
    workers: Literal["auto"] | int = "auto",
    device: str = "auto",
    devices: int = 1,
    strategy: Strategy = "ddp",
    compile: bool = False,
    cache: Cache = "auto",
    max_unreadable: float = 0.01,
    save_minutes: float = 1.0,
    resume: Path | None = None,
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
        graft: what to graft into it: PLACE=MIXER puts a mixer where a convolution is, PLACE+=MIXER behind a module;
            several have ; between them
        graft_lose: what of these convolutions may go with them, of groups,dilation
        plugin: a file of Python with mixers of your own, frozen dataclasses with build(site); it is run
        pretrained: begin with weights that others published, which are fetched once and kept; images are normalised as
            they were for these
        weights: begin with those of a file or a run folder; a file of timm's needs the name of its network as --model
        weights_dir: where published weights are kept; by default the cache of Hugging Face's libraries
        offline: fetch no weights
        data: a folder of images, an .npz file, a name such as cifar10, or litdata: and the folder or bucket of shards;
            by default the bundled flowers
        data_dir: where the files of a data set by name lie, or where chunks of a bucket are kept
        download: whether a data set by name may be fetched when its files are missing
        output: folder for everything that the run writes; by default a new one in runs/
        image: size in pixels, as 224 or as 256x128 for height and width; by default the network's own
        val_image: the same for validation and for all later use; by default --image
        mean: of red, green and blue, subtracted from the pixels, as 0.49,0.48,0.45 on a scale from 0 to 1; by default
            that of the weights, or ImageNet's
        std: what they are then divided by, in the same form
        interpolation: how images are resized; by default as for the weights, or bicubic
        crop_pct: share of the resized image that validation shows; by default as for the weights, or 0.875
        how: under the recipe's name, and with its defaults, each field of it
        workers: processes that read images; auto for none if they are in memory and --aa is none, else one per spare
            core
        device: auto, cpu, cuda, cuda:1 or mps
        devices: how many of that kind train together on this machine; each batch is shared among them
        strategy: ddp, where each process holds the whole network, or fsdp, where each holds a part of every tensor
        compile: let PyTorch compile code for the steps of this very network, once for each size of its images;
            validation stays as it is
        cache: ram keeps the pictures of a folder in memory once they are read; auto does so where they take at most a
            twentieth of it
        max_unreadable: share of the images that may be unreadable before the run stops
        save_minutes: time between two writings of the state that --resume goes on from; 0 for every step, or every
            tenth on a GPU or several devices
        resume: go on with the run in this folder, with its options, as if it had never been stopped
    """
    options = flat(run, locals())
    # All that can be refused without reading the data is, since a large folder takes minutes to search.
    check_share(max_unreadable, of="--max-unreadable")
    if save_minutes < 0:
        raise GraftError(f"--save-minutes must be at least 0, not {save_minutes}.")
    check_positive(devices, "--devices")
    check_workers(workers)
    place = find_device(device)
    crew = Hardware(place, devices).crew()
    run_plugin(plugin)
    grafts = parse_grafts(graft, graft_lose)
    size, shown = parse_image(image), parse_image(val_image, "--val-image")
    named = find_recipe(recipe)
    if named.weights and not (weights or pretrained or resume):
        raise GraftError(f"--recipe {recipe} begins with trained weights. Give them as in `{named.command}`.")
    model = options["model"] = model if weights else model or named.model
    check_writable(resume or output or RUNS, "--output", kind="folder")
    known = known_run(output, resume)
    begun = begin(
        model,
        size,
        pretrained=pretrained,
        weights=weights,
        weights_dir=weights_dir,
        offline=offline,
        known=known,
        grafts=grafts,
    )
    spec = begun.spec
    preprocessing = preprocessed(
        begun.preprocessing,
        shown or spec.image,
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop_pct=crop_pct,
    )
    check_takes(spec, preprocessing.image)
    check_parts(spec, how.freeze)
    # Processes beside the first one are told its folder, which may be there by now.
    free = plan_run(output, name=f"{spec.name}-{short_name(data)}", parent=RUNS) if leads() and not known else None
    folder = known or free or RunFolder(RUNS)
    with saying_where_it_began(data, resume), pointing_to_detectors(data):
        images = open_data(data, data_dir=data_dir, download=download)
    check_are_classes(images.classes, data)
    images = kept_in_memory(images, cache, processes=crew.here)
    keep_freed_memory()
    with Narrator(images.notes) if leads() else nullcontext() as narrator:
        outcome = train(
            Classifying(spec, images, how, preprocessing, begun.weights),
            folder,
            hardware=Hardware(
                place,
                devices,
                strategy,
                workers_for(workers, in_memory=taken_at_once(images, how)),
                "compiled" if compile else "eager",
            ),
            options=options,
            max_unreadable=max_unreadable,
            save_minutes=save_minutes,
            resume="allowed" if resume or is_a_restart() else "never",
            listener=narrator,
        )
    if not leads():
        raise SystemExit(0)  # the first process reports
    when_nobody_says = usual(run) | defaults(recipe) | {"model": None if weights else named.model}
    write_report(outcome, images, options=options, defaults=when_nobody_says, device=place)
    return outcome


def as_json(outcome: Outcome) -> dict[str, object]:
    """Give the score and where everything lies."""
    return {
        "val_top1": outcome.evaluation.top1,
        "val_loss": outcome.evaluation.loss,
        "epochs": outcome.epochs,
        "stopped": outcome.stopped,
        "train_seconds": outcome.seconds,
        "weights": str(outcome.run.best),
        "report": str(outcome.run.report),
        "notes": list(outcome.notes),
        "unreadable": [{"file": each.name, "error": each.reason} for each in outcome.unreadable],
    }


def show(outcome: Outcome) -> None:
    """Print the score and where everything lies."""
    print(
        f"val top-1 {outcome.evaluation.top1:.2%} after {counted(outcome.epochs, 'epoch')} and {outcome.seconds:.0f} s"
    )
    if outcome.stopped:
        print(f"stopped before its end: `graft train --resume {outcome.run.path}` goes on")
    for note in outcome.notes:
        print(note)
    if outcome.unreadable:
        print(f"{counted(len(outcome.unreadable), 'image')} could not be read: {outcome.run.unreadable}")
    print(f"weights   {outcome.run.best}")
    print(f"report    {outcome.run.report}")


def check(outcome: Outcome) -> int:
    """Give the exit code: that of Ctrl-C where it ended the run."""
    return 130 if outcome.stopped else 0
