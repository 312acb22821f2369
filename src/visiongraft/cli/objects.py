"""What `graft doctor` says of data with boxes."""

from collections.abc import Iterator

import numpy as np

from visiongraft.detect.annotations import DetectionData, DetectionSet
from visiongraft.detect.doctor import DetectionDiagnosis, FaultFinding
from visiongraft.errors import printable


def facts_of_objects(found: DetectionDiagnosis) -> Iterator[tuple[str, str]]:
    """Give what is worth knowing of what is annotated, with a word in front."""
    data = found.data
    yield (
        "images",
        f"{len(data.train):,} to learn from, {len(data.val):,} to be scored on, in {_LAYOUTS[data.layout]}",
    )
    shapes = "all with a shape" if data.has_masks else "boxes alone"
    yield "objects", f"{len(data.train.labels):,} to learn from, {len(data.val.labels):,} to be scored on, {shapes}"
    if sides := sides_of(data):
        low, usual, high = sides
        yield "boxes", f"{low} to {high} pixels at the longer side, median {usual}"
    learnt, _ = found.counts
    if learnt.any():
        ends = [
            (int(learnt[label]), printable(data.categories[label])) for label in (learnt.argmin(), learnt.argmax())
        ]
        (fewest, small), (most, large) = ends
        span = f"from {fewest:,} ({small}) to {most:,} ({large})" if fewest < most else f"{most:,} each"
        yield "categories", f"{len(data.categories):,}, {span}, counting objects to learn from"


_LAYOUTS = {"coco": "COCO's json", "yolo": "YOLO's text files", "voc": "VOC's xml files"}


def objects_as_json(found: DetectionDiagnosis) -> dict[str, object]:
    """Give the same to a program."""
    data = found.data
    learnt, scored = found.counts
    return {
        "data": data.name,
        "layout": data.layout,
        "images": {"train": len(data.train), "val": len(data.val)},
        "objects": {"train": _numbers_of(data.train), "val": _numbers_of(data.val)},
        "categories": [
            {"name": name, "train": int(train), "val": int(val)}
            for name, train, val in zip(data.categories, learnt, scored, strict=True)
        ],
        "longer_sides": sides_of(data),
        "masks": data.has_masks,
    }


def _numbers_of(images: DetectionSet) -> dict[str, int]:
    return {"all": len(images.labels), "crowd": int(images.crowd.sum()), "images_without": len(images.empty)}


def sides_of(data: DetectionData) -> list[int] | None:
    """Give the smallest, the median and the largest of the longer sides of boxes, in pixels; None without any."""
    boxes = np.concatenate([data.train.boxes, data.val.boxes])
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) if len(boxes) else np.zeros(0)
    return [round(float(each)) for each in np.quantile(sides, (0, 0.5, 1))] if len(sides) else None


def rows_of_faults(finding: FaultFinding, most: int | None = None) -> Iterator[dict[str, str]]:
    """Describe faults as images are described."""
    for each in finding.faults[:most]:
        yield {
            "file": each.image or each.source,
            "part": "",
            "class": "",
            "twin": "",
            "detail": f"{each.where} {each.detail}",
        }
