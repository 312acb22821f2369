"""`graft predict`."""

from csv import writer as table_writer
from pathlib import Path

from visiongraft.cli.progress import counting
from visiongraft.cli.values import read_weights
from visiongraft.deploy.predict import Prediction, find_images, predict
from visiongraft.errors import GraftError
from visiongraft.train.devices import find_device


def run(
    weights: Path,
    inputs: list[Path],
    *,
    top: int = 5,
    csv: Path | None = None,
    image: int | str | None = None,
    batch_size: int = 32,
    device: str = "auto",
) -> list[Prediction]:
    """Classify files and folders of images.

    Args:
        weights: a .safetensors file of `graft train`, or its run folder
        inputs: image files, and folders that are searched for them
        top: how many of the most probable classes to give
        csv: also write a table to this file
        image: size in pixels, as 224 or as 256x128 for height and width; by default the one of the training
        batch_size: images at a time
        device: auto, cpu, cuda, cuda:1 or mps
    """
    if top < 1 or batch_size < 1:
        raise GraftError(f"--top and --batch-size must be at least 1, and are {top} and {batch_size}.")
    model = read_weights(weights, image)
    place = find_device(device)
    files = find_images(inputs)
    found = []
    with counting(len(files), "classified") as advance:
        for each in predict(model, files, device=place, top=top, batch_size=batch_size):
            found.append(each)
            advance(1)
    if csv is not None:
        _write_csv(csv, found)
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
    width = max((len(str(each.file)) for each in found), default=0)
    for each in found:
        said = each.error or "  ".join(f"{label} {probability:.1%}" for label, probability in each.top)
        print(f"{each.file!s:{width}}  {said}")


def _write_csv(path: Path, found: list[Prediction]) -> None:
    count = max((len(each.top) for each in found), default=0)
    ranks = [name for rank in range(1, count + 1) for name in (f"label_{rank}", f"probability_{rank}")]
    try:
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = table_writer(file)
            writer.writerow(["file", "error", *ranks])
            for each in found:
                cells = [value for label, probability in each.top for value in (label, f"{probability:.6f}")]
                writer.writerow([each.file, each.error or "", *cells])
    except OSError as error:
        raise GraftError(f"{path} cannot be written: {error.strerror}. Give another --csv.") from error
