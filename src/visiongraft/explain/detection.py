"""report.html of a detector: one page about its training, which needs nothing beside itself."""

import csv
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from markupsafe import Markup
from PIL import Image

from visiongraft.data.images import UnreadableImage
from visiongraft.detect.annotations import DetectionData
from visiongraft.detect.drawing import SURE, draw_annotated, draw_found
from visiongraft.detect.judging import DetectionEvaluation
from visiongraft.detect.scores import DetectionScores, Precision
from visiongraft.explain import usage
from visiongraft.explain.curves import Drawing, Line, to_svg
from visiongraft.explain.machine import describe_machine
from visiongraft.explain.page import render, write_page
from visiongraft.explain.report import Option

if TYPE_CHECKING:
    from visiongraft.detect.training import DetectionOutcome  # pages are written without Lightning

_PICTURES, _SIDE, _QUALITY = 8, 480, 88
_MANY_CATEGORIES = 30

Row = Mapping[str, float | None]
"""A row of metrics.csv; None where the epoch was not validated."""


@dataclass(frozen=True)
class Pair:
    """One image twice: with what is annotated, and with what was found.

    Args:
        name: where it lies, seen from the data.
        annotated: the address that shows it.
        found: likewise.
        objects: how many are annotated.
        sure: how many were found that the detector is rather sure of.
    """

    name: str
    annotated: str
    found: str
    objects: int
    sure: int


class Measure(NamedTuple):
    """One of COCO's numbers, of boxes and of masks; None where there is nothing to be found, or there are no masks."""

    name: str
    box: float | None
    mask: float | None


class Category(NamedTuple):
    """How well one category is found: how many objects it has, and AP and AP50 of boxes and of masks."""

    name: str
    objects: int
    box: tuple[float | None, float | None]
    mask: tuple[float | None, float | None] | None


def write_detection_report(
    outcome: "DetectionOutcome",
    data: DetectionData,
    *,
    options: Mapping[str, object],
    defaults: Mapping[str, object],
    device: torch.device,
) -> Path:
    """Write the page about a run into its folder, whole or not at all.

    Args:
        outcome: what the training gave; its folder holds metrics.csv and the weights.
        data: what was trained on. Some images of `val` are read again, for their pictures.
        options: of `graft detect train`, by their names in Python.
        defaults: what the options are when nothing is said.
        device: what computed.

    Returns:
        The path of the page.

    Raises:
        RunError: if the page cannot be written.
    """
    rows, best, scores = _rows(outcome.run.metrics), outcome.run.best, outcome.evaluation.scores
    changed = {name: value for name, value in options.items() if value != defaults.get(name)}
    page = render(
        "detection.html.j2",
        outcome=outcome,
        run=outcome.run,
        data=data,
        data_title=PurePath(data.name).name or data.name,
        machine=describe_machine(device),
        rows=rows,
        columns=list(rows[0]),
        drawings=[(each, Markup(to_svg(each))) for each in _drawings(rows, outcome.best_epoch)],
        scores=scores,
        measures=_measures(scores),
        categories=_categories(data, scores)[:_MANY_CATEGORIES],
        more_categories=max(0, len(data.categories) - _MANY_CATEGORIES),
        pairs=_pairs(outcome.evaluation, data),
        weights_bytes=best.stat().st_size,
        planned_epochs=options["epochs"],
        keep=options["keep"],
        unreadable=outcome.unreadable,
        train_command=usage.command("detect train", (), changed),
        options=[Option(usage.flag(name), value, defaults.get(name)) for name, value in options.items()],
        eval_command=usage.command("detect eval", [best], {"data": options["data"]}),
        predict_command=usage.command("detect predict", [best, "photo.jpg"], {"output": "drawn"}),
        as_module=usage.as_detector(best),
    )
    write_page(outcome.run.report, page, remedy=f"The weights are in {best}.")
    return outcome.run.report


def _rows(path: Path) -> list[Row]:
    """Read metrics.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(file)]


def _drawings(rows: Sequence[Row], best: int) -> list[Drawing]:
    """Plan what is worth drawing, as far as there are two points to connect."""
    planned = [Drawing("loss", "Loss", "number", _lines(rows, {"training": "train_loss"}), None)]
    for kind in ("box", "mask"):
        lines = _lines(rows, {"AP": f"val_{kind}_ap", "AP50": f"val_{kind}_ap50"})
        planned.append(Drawing(kind, f"Average precision of {_PLURALS[kind]}", "percent", lines, best))
    planned.append(Drawing("lr", "Learning rate", "from_zero", _lines(rows, {"end of epoch": "lr"})))
    return [each for each in planned if each.lines and max(len(line.points) for line in each.lines) > 1]


_PLURALS = {"box": "boxes", "mask": "masks"}


def _lines(rows: Sequence[Row], names: Mapping[str, str]) -> tuple[Line, ...]:
    """Give a curve for each column that is there; the first one stands out."""
    lines: list[Line] = []
    for name, column in names.items():
        points = tuple((int(row["epoch"] or 0), value) for row in rows if (value := row.get(column)) is not None)
        lines += [Line(name, "muted" if lines else "right", points)] if points else []
    return tuple(lines)


def _measures(scores: DetectionScores) -> list[Measure]:
    return [
        Measure(words, _known(getattr(scores.box, name)), _known(getattr(scores.mask, name, math.nan)))
        for name, words in _WORDS.items()
    ]


_WORDS = {
    "ap": "AP, the mean over overlaps from 0.5 to 0.95",
    "ap50": "AP50, at an overlap of 0.5",
    "ap75": "AP75, at an overlap of 0.75",
    "ap_small": "AP of small objects, below 32 × 32 pixels",
    "ap_medium": "AP of medium ones, up to 96 × 96",
    "ap_large": "AP of large ones",
    "ar1": "recall with one answer an image",
    "ar10": "recall with ten",
    "ar100": "recall with a hundred",
}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _categories(data: DetectionData, scores: DetectionScores) -> list[Category]:
    """Give each category's scores, in the order of the data."""
    counts = np.bincount(data.val.labels[~data.val.crowd], minlength=len(data.categories) + 1)[1:]
    return [
        Category(
            name, int(counts[place]), _of(scores.box, place), None if scores.mask is None else _of(scores.mask, place)
        )
        for place, name in enumerate(data.categories)
    ]


def _of(scores: Precision, place: int) -> tuple[float | None, float | None]:
    return _known(scores.categories[place]), _known(scores.categories50[place])


def _pairs(found: DetectionEvaluation, data: DetectionData) -> list[Pair]:
    """Draw some images, from all over the set."""
    places = list(found.found)
    chosen = np.unique(np.linspace(0, len(places) - 1, min(_PICTURES, len(places))).round().astype(int))
    pairs = (_pair(found, data, places[each]) for each in chosen.tolist())
    return [each for each in pairs if each is not None]


def _pair(found: DetectionEvaluation, data: DetectionData, place: int) -> Pair | None:
    """Draw one image twice; None where it cannot be read any more."""
    try:
        image = data.val.load(place)
    except UnreadableImage:
        return None
    objects, answer = data.val.objects(place), found.found[place]
    name = data.val.name_of(place).removeprefix(f"{data.name.rstrip('/')}/")
    return Pair(
        name,
        _address(draw_annotated(image, objects, names=data.categories)),
        _address(draw_found(image, answer, names=data.categories)),
        int((~objects.crowd).sum()),
        int((answer.scores >= SURE).sum()),
    )


def _address(picture: Image.Image) -> str:
    """Give a picture as the address of itself, which an `<img>` shows without reading anything."""
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY, subsampling="4:4:4", optimize=True)
    return "data:image/jpeg;base64," + b64encode(stream.getvalue()).decode("ascii")
