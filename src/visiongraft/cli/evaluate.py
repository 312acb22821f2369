"""`graft eval`."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from visiongraft.cli.arguments import Spread
from visiongraft.cli.grafting import run_plugin
from visiongraft.cli.groups import Images, Machine
from visiongraft.cli.progress import counting
from visiongraft.cli.values import ImageSize, check_positive, check_takes_rgb, find_weights
from visiongraft.data.sets import ArrayImages, FileImages, ImageData, ImageSet
from visiongraft.data.shards import ShardImages
from visiongraft.errors import DataError, WeightsError, counted, printable
from visiongraft.train.devices import workers_for
from visiongraft.train.evaluate import Evaluation, evaluate
from visiongraft.weights.imagenet import are_imagenet


def run(
    weights: Path,
    *,
    images: Annotated[Images, Spread()],
    image: ImageSize | None = None,
    batch_size: int = 64,
    machine: Annotated[Machine, Spread(without=("devices",))],
    weights_dir: Path | None = None,
    offline: bool = False,
    plugin: Path | None = None,
) -> Evaluation:
    """Score a trained network on labelled images: the validation part of a data set.

    Its classes are matched by name, and may be some of those of the training.

    Examples:
        graft eval runs/coatnet_pico-photos --data photos/
        graft eval best.safetensors --data cifar10 --data-dir downloads/ --json
        graft eval coatnet_0_rw_224.sw_in1k --data imagenet --data-dir imagenet/

    Args:
        weights: a .safetensors file of `graft train`, its run folder, or the name of a network, perhaps with a tag,
            for weights that others published: they are fetched once, and kept
        images: which ones
        image: size in pixels, as 224 or as 256x128 for height and width; by default the one of the training
        batch_size: images at a time
        machine: what computes
        weights_dir: where published weights are kept; by default the cache of Hugging Face's libraries
        offline: fetch no weights
        plugin: a file of Python with mixers of your own that the network has; it is run
    """
    run_plugin(plugin)
    check_positive(batch_size, "--batch-size")
    place = machine.place()
    model = find_weights(weights, image, weights_dir=weights_dir, offline=offline)
    check_takes_rgb(model.network.spec)
    data = images.opened("val")
    in_order = not model.classes or (are_imagenet(model.classes) and are_imagenet(data.classes))
    scored = data.val if in_order else _matched_by_name(data, model.classes, weights)
    with counting(len(scored), "scored") as advance:
        found = evaluate(
            model.network.to(place),
            scored,
            model.preprocessing,
            batch_size=batch_size,
            workers=workers_for(machine.workers, in_memory=data.native is not None),
            on_batch=advance,
        )
    if not math.isfinite(found.loss):
        raise WeightsError(
            f"{weights} gives NaN in place of a loss: its weights are damaged, or its training diverged. "
            "Use another weight file, or train again with a lower --lr."
        )
    for note in data.notes:  # such as which images of a folder without val/ were scored
        print(printable(note), file=sys.stderr)
    return found


def _matched_by_name(data: ImageData, classes: tuple[str, ...], weights: Path) -> ImageSet:
    """Label the images to be scored by places in `classes`, of which the data may have some, and in any order.

    Raises:
        DataError: if an image is of a class that is not among them.
    """
    shown = [data.classes[label] for label in np.unique(data.val.labels)]
    strangers = [name for name in shown if name not in classes]
    if strangers:
        raise DataError(
            f"The data has a class {strangers[0]!r} that {weights} does not know ({len(strangers)} in all): it tells "
            f"apart {', '.join(classes[:5])} ({counted(len(classes), 'class')}). "
            "Use data with classes of the training."
        )
    places = np.array([classes.index(name) if name in classes else -1 for name in data.classes])
    assert isinstance(data.val, FileImages | ArrayImages | ShardImages), "what open_data gives"
    return replace(data.val, labels=places[data.val.labels])


def as_json(found: Evaluation) -> dict[str, object]:
    """Give the scores."""
    return {
        "top1": found.top1,
        "top5": found.top5,
        "loss": found.loss,
        "images": found.images,
        "images_per_second": found.images / found.seconds,
        "unreadable": [{"file": each.name, "error": each.reason} for each in found.failures],
    }


def show(found: Evaluation) -> None:
    """Print the scores."""
    print(f"top-1  {found.top1:.2%}")
    print(f"top-5  {found.top5:.2%}")
    print(f"loss   {found.loss:.4f}")
    print(f"{counted(found.images, 'image')}, {found.images / found.seconds:.0f} per second")
    for each in found.failures:
        print(f"not read: {printable(each.name)}: {each.reason}")
