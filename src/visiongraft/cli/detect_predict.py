"""`graft detect predict`."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from visiongraft.cli.detecting import find_detector
from visiongraft.cli.grafting import run_plugin
from visiongraft.cli.predict import check as check
from visiongraft.cli.progress import counting
from visiongraft.cli.values import check_share, check_writable
from visiongraft.data.images import UnreadableImage, read_image
from visiongraft.deploy.predict import find_images
from visiongraft.detect.build import spec_of
from visiongraft.detect.checks import fault_of_image
from visiongraft.detect.drawing import draw_found
from visiongraft.detect.judging import found_in
from visiongraft.detect.scores import Prediction
from visiongraft.errors import GraftError, printable
from visiongraft.files import draft_of, write_whole
from visiongraft.train.devices import find_device

TABLE = "found.json"
"""The file, beside the pictures, that holds what --json prints."""


@dataclass(frozen=True)
class Sighting:
    """What was found on one file.

    Args:
        file: its path.
        objects: category, score and box x0 y0 x1 y1 in pixels of each, and its mask as COCO writes one, the surest
            first.
        picture: where it was drawn, if it was.
        error: why the file could not be read, or None.
    """

    file: Path
    objects: tuple[dict[str, object], ...] = ()
    picture: Path | None = None
    error: str | None = None


def run(
    weights: Path,
    inputs: list[Path],
    *,
    output: Path | None = None,
    least: float = 0.5,
    device: str = "auto",
    plugin: Path | None = None,
) -> list[Sighting]:
    """Find objects on files and folders of images.

    With --output, each image is drawn with its boxes and masks into that folder, and found.json lists all of it.
    Files that cannot be read are listed with the reason, and the exit code is 0 unless none of them can.

    Examples:
        graft detect predict runs/mask_rcnn_botnet_pico-nuclei slides/ --output drawn/
        graft detect predict best.safetensors new.png --least 0.3 --json

    Args:
        weights: a .safetensors file of `graft detect train`, or its run folder
        inputs: image files, and folders that are searched for them
        output: a new or empty folder for pictures of what was found, and found.json
        least: how sure the detector has to be of an object, from 0 to 1
        device: auto, cpu, cuda, cuda:1 or mps
        plugin: a file of Python with mixers of your own that the backbone has; it is run
    """
    run_plugin(plugin)
    check_share(least, of="--least")
    if output is not None:
        check_writable(output, "--output", kind="folder")
        if output.is_dir() and any(output.iterdir()):
            raise GraftError(f"--output {str(output)!r} is not empty. Give a new or an empty folder.")
    place = find_device(device)
    model = find_detector(weights)
    names = model.classes or tuple(str(label) for label in range(1, model.spec.num_classes + 1))
    files = find_images(inputs)
    detector, found = model.network.eval().to(place), []
    with counting(len(files), "looked at") as advance, torch.inference_mode():
        for number, file in enumerate(files):
            found.append(_sighting(detector, file, names, least=least, output=output, number=number))
            advance(1)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_whole(output / TABLE, (json.dumps(as_json(found), indent=1) + "\n").encode("utf-8", "backslashreplace"))
    return found


def _sighting(
    detector: nn.Module, file: Path, names: Sequence[str], *, least: float, output: Path | None, number: int
) -> Sighting:
    """Look at one file, and draw what is found on it where pictures are wanted."""
    try:
        image = read_image(file)
    except UnreadableImage as error:
        return Sighting(file, error=error.reason)
    device = next(detector.parameters()).device
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(device).float() / 255  # 3 h w
    if fault := fault_of_image(spec_of(detector), pixels):
        return Sighting(file, error=f"it {fault}")
    found = found_in(detector, pixels)
    picture = None
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        picture = output / f"{number:04d}-{_short(file.stem)}.png"
        with draft_of(picture) as draft:
            draw_found(image, found, names=names, least=least).save(draft, "PNG")
    return Sighting(file, tuple(_objects(found, names, least)), picture)


def _short(stem: str) -> str:
    """Cut a name to what fits into that of a file, which is counted in bytes."""
    while len(os.fsencode(stem)) > _LONGEST:
        stem = stem[:-1]
    return stem


_LONGEST = 192


def _objects(found: Prediction, names: Sequence[str], least: float) -> list[dict[str, object]]:
    """Write what was found as plain values, the surest first."""
    rows: list[dict[str, object]] = []
    for place in np.argsort(-found.scores, kind="stable"):
        if found.scores[place] < least:
            break
        row: dict[str, object] = {
            "label": names[int(found.labels[place]) - 1],
            "score": float(found.scores[place]),
            "box": found.boxes[place].tolist(),
        }
        rows.append(row | ({} if found.masks is None else {"mask": found.masks[place].coco()}))
    return rows


def as_json(found: list[Sighting]) -> list[dict[str, object]]:
    """Give an object per file: what was found on it, or why it could not be read."""
    return [
        {"file": str(each.file), "error": each.error}
        if each.error
        else {
            "file": str(each.file),
            "objects": list(each.objects),
            **({"picture": str(each.picture)} if each.picture else {}),
        }
        for each in found
    ]


def show(found: list[Sighting]) -> None:
    """Print a line per file."""
    for each in found:
        print(f"{printable(str(each.file))}  {each.error or _in_words(each)}")


def _in_words(seen: Sighting) -> str:
    """Say how many objects of each category were found."""
    labels = [str(each["label"]) for each in seen.objects]
    counts = sorted(((labels.count(name), name) for name in set(labels)), key=lambda each: (-each[0], each[1]))
    return "  ".join(f"{number} {printable(name)}" for number, name in counts) or "nothing"
