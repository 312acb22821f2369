"""`graft eval`."""

import math
from pathlib import Path
from typing import Literal

from visiongraft.cli.progress import counting
from visiongraft.cli.values import ImageSize, check_positive, check_workers, read_weights
from visiongraft.data.sources import open_data
from visiongraft.errors import DataError, WeightsError, printable
from visiongraft.train.devices import find_device, workers_for
from visiongraft.train.evaluate import Evaluation, evaluate


def run(
    weights: Path,
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    download: Literal["never", "if_missing"] = "never",
    image: ImageSize | None = None,
    batch_size: int = 64,
    workers: Literal["auto"] | int = "auto",
    device: str = "auto",
) -> Evaluation:
    """Score a trained network on labelled images: the validation part of a data set.

    Examples:
        graft eval runs/coatnet_pico-photos --data photos/
        graft eval best.safetensors --data cifar10 --data-dir downloads/ --json

    Args:
        weights: a .safetensors file of `graft train`, or its run folder
        data: a folder of images, an .npz file or a name such as cifar10; by default the bundled flowers
        data_dir: where the files of a data set by name lie
        download: whether a data set by name may be fetched when its files are missing
        image: size in pixels, as 224 or as 256x128 for height and width; by default the one of the training
        batch_size: images at a time
        workers: processes that read images; auto for none if they are in memory, else one per spare core
        device: auto, cpu, cuda, cuda:1 or mps
    """
    check_positive(batch_size, "--batch-size")
    check_workers(workers)
    place = find_device(device)
    model = read_weights(weights, image)
    images = open_data(data, data_dir=data_dir, parts="val", download=download)
    if model.classes and images.classes != model.classes:
        raise DataError(
            f"{weights} tells apart {', '.join(model.classes[:5])} ({len(model.classes)} classes), and the data has"
            f" {', '.join(images.classes[:5])} ({len(images.classes)}). Use data with the classes of the training."
        )
    with counting(len(images.val), "scored") as advance:
        found = evaluate(
            model.network.to(place),
            images.val,
            model.preprocessing,
            batch_size=batch_size,
            workers=workers_for(workers, in_memory=images.native is not None),
            on_batch=advance,
        )
    if not math.isfinite(found.loss):
        raise WeightsError(f"{weights} gives numbers that are none: its weights are damaged. Train it again.")
    return found


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
    print(f"{found.images} images, {found.images / found.seconds:.0f} per second")
    for each in found.failures:
        print(f"not read: {printable(each.name)}: {each.reason}")
