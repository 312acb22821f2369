"""`graft predict`."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.cells import cell_len, set_cell_size

from visiongraft.cli.grafting import run_plugin
from visiongraft.cli.progress import counting
from visiongraft.cli.tables import write_table
from visiongraft.cli.values import ImageSize, check_positive, check_takes_rgb, check_writable, find_weights
from visiongraft.deploy.predict import Prediction, find_images, predict
from visiongraft.errors import DataError, counted, printable
from visiongraft.train.devices import find_device


def run(
    weights: Path,
    inputs: list[Path],
    *,
    top: int = 5,
    csv: Path | None = None,
    image: ImageSize | None = None,
    batch_size: int = 32,
    device: str = "auto",
    weights_dir: Path | None = None,
    offline: bool = False,
    plugin: Path | None = None,
) -> list[Prediction]:
    """Classify files and folders of images.

    Files that cannot be read are listed with the reason, and the exit code is 0 unless none of them can.

    Examples:
        graft predict runs/coatnet_pico-photos holiday/ new.jpg
        graft predict best.safetensors holiday/ --csv found.csv --top 1
        graft predict coatnet_0_rw_224 holiday/

    Args:
        weights: a .safetensors file of `graft train`, its run folder, or the name of a network, perhaps with a tag,
            for weights that others published: they are fetched once, and kept
        inputs: image files, and folders that are searched for them
        top: how many of the most probable classes to give
        csv: also write a table to this file
        image: size in pixels, as 224 or as 256x128 for height and width; by default the one of the training
        batch_size: images at a time
        device: auto, cpu, cuda, cuda:1 or mps
        weights_dir: where published weights are kept; by default the cache of Hugging Face's libraries
        offline: fetch no weights
        plugin: a file of Python with mixers of your own that the network has; it is run
    """
    run_plugin(plugin)
    check_positive(top, "--top")
    check_positive(batch_size, "--batch-size")
    if csv is not None:
        check_writable(csv, "--csv", kind="file")
    place = find_device(device)
    model = find_weights(weights, image, weights_dir=weights_dir, offline=offline)
    check_takes_rgb(model.network.spec)
    files = find_images(inputs)
    found = []
    with counting(len(files), "classified") as advance:
        for each in predict(model, files, device=place, top=top, batch_size=batch_size):
            found.append(each)
            advance(1)
    if csv is not None:
        write_table(csv, _rows(found), "--csv")
    return found


def as_json(found: list[Prediction]) -> list[dict[str, object]]:
    """Give an object per file: its most probable class and the runners-up, or why it could not be read."""
    return [
        {"file": str(each.file), "error": each.error}
        if each.error
        else {
            "file": str(each.file),
            "label": each.top[0][0],
            "probability": each.top[0][1],
            "top": [{"label": label, "probability": probability} for label, probability in each.top],
        }
        for each in found
    ]


def show(found: list[Prediction]) -> None:
    """Print a line per file."""
    names = [printable(str(each.file)) for each in found]
    width = max(map(cell_len, names), default=0)
    for name, each in zip(names, found, strict=True):
        said = each.error or "  ".join(f"{printable(label)} {probability:.1%}" for label, probability in each.top)
        print(f"{set_cell_size(name, width)}  {said}")


class Answer(Protocol):
    """What was said of a file."""

    @property
    def error(self) -> str | None:
        """Why it could not be read, or None."""


def check(found: Sequence[Answer]) -> None:
    """Say how many files could not be read.

    Raises:
        DataError: if none could.
    """
    failed = sum(each.error is not None for each in found)
    if failed == len(found):
        raise DataError(f"No image could be read, of {failed} that were asked for; the list says why. Give others.")
    if failed:
        print(
            f"graft: {failed} of {counted(len(found), 'file')} could not be read as images; the list says why",
            file=sys.stderr,
        )


def _rows(found: list[Prediction]) -> Iterator[list[object]]:
    """Give the table, the names of its columns first."""
    count = max((len(each.top) for each in found), default=0)
    ranks = [name for rank in range(1, count + 1) for name in (f"label_{rank}", f"probability_{rank}")]
    yield ["file", "error", *ranks]
    for each in found:
        cells = [value for label, probability in each.top for value in (label, f"{probability:.6f}")]
        yield [each.file, each.error or "", *cells]
