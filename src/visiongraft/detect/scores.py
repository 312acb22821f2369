"""How good detections are: COCO's average precision of boxes and masks."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visiongraft.detect.annotations import Boxes, DetectionSet, Id
from visiongraft.detect.coco_tools import Kind, compressed, precision_and_recall
from visiongraft.detect.outlines import RunLengths
from visiongraft.train.team import ALONE, Team

LIKELY = 0.5
"""Where a pixel's probability is above this, a mask covers it."""


class Prediction(NamedTuple):
    """What a detector found on one image.

    Args:
        boxes: (objects, 4), x0 y0 x1 y1 in pixels of the image at its own size.
        scores: how sure it is of each.
        labels: the category of each, from 1.
        masks: the shape of each, of the image's own size; None where it gives none.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    masks: tuple[RunLengths, ...] | None = None

    @staticmethod
    def of(output: Mapping[str, Tensor]) -> "Prediction":
        """Read what one of torchvision's detectors gives for an image."""
        masks = None
        if "masks" in output:
            likely = (output["masks"][:, 0] > LIKELY).cpu().numpy()  # n h w
            masks = tuple(RunLengths.of(each) for each in likely)
        return Prediction(
            output["boxes"].detach().cpu().double().numpy(),
            output["scores"].detach().cpu().double().numpy(),
            output["labels"].detach().cpu().long().numpy(),
            masks,
        )


@dataclass(frozen=True)
class Precision:
    """COCO's twelve numbers of boxes or of masks, in [0, 1]; NaN where there is nothing to be found.

    Args:
        ap: average precision, over overlaps from 0.5 to 0.95 and over categories.
        ap50: at an overlap of 0.5.
        ap75: at an overlap of 0.75.
        ap_small: of objects of less than 32 x 32 pixels.
        ap_medium: of those up to 96 x 96.
        ap_large: of those above.
        ar1: average recall with one detection for an image.
        ar10: with up to 10.
        ar100: with up to 100.
        ar_small: the same of small objects.
        ar_medium: of medium ones.
        ar_large: of large ones.
        categories: `ap` of each category.
        categories50: `ap50` of each category.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    categories: tuple[float, ...]
    categories50: tuple[float, ...]


@dataclass(frozen=True)
class DetectionScores:
    """How good detections are.

    Args:
        box: of boxes.
        mask: of masks; None where either side has none.
        images: how many images were judged.
    """

    box: Precision
    mask: Precision | None
    images: int

    def named(self) -> dict[str, float]:
        """Give the main numbers by name: box_ap, box_ap50, ..., mask_ap, ..."""
        kinds = {"box": self.box, **({"mask": self.mask} if self.mask else {})}
        return {f"{kind}_{name}": getattr(each, name) for kind, each in kinds.items() for name in MAIN}


MAIN = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")
"""The numbers that are worth a column."""


def gathered(found: Mapping[int, Prediction], team: Team = ALONE) -> dict[int, Prediction]:
    """Bring together what several processes found, by the place of the image in its set, in the order of the set.

    Every process calls this, and each gets all. `ScoringSampler` gives each image to one process and pads nothing, so
    none counts twice.
    """
    parts = team.gathered(dict(found))
    merged = {place: each for part in parts for place, each in part.items()}
    assert len(merged) == sum(map(len, parts)), "an image was judged by two processes"
    return dict(sorted(merged.items()))


def results_of(
    images: DetectionSet, found: Mapping[int, Prediction], category_ids: Sequence[Id]
) -> list[dict[str, Any]]:
    """Write detections as COCO's json of results, with the ids of the annotation file: what pycocotools loads.

    Args:
        images: the set.
        found: what was found on its images, by their places.
        category_ids: what the file calls each category, as in `DetectionData`.

    Raises:
        MissingExtra: if there are masks, and pycocotools is not installed.
    """
    rows = []
    for place, answer in found.items():
        for each in _answers(place, answer, "bbox" if answer.masks is None else "segm"):
            row = {"image_id": images.ids[place], "category_id": category_ids[each["category_id"] - 1]}
            row |= {"bbox": each["bbox"], "score": each["score"]}
            if "segmentation" in each:
                shape = each["segmentation"]
                row["segmentation"] = {"size": list(shape["size"]), "counts": shape["counts"].decode("ascii")}
            rows.append(row)
    return rows


def score(images: DetectionSet, found: Mapping[int, Prediction], *, categories: int) -> DetectionScores:
    """Compare detections with what is annotated, as COCO does.

    Args:
        images: with objects.
        found: what was found on each image that is judged, by its place in the set. Others count as if they were not
            in the set, as those that cannot be read.
        categories: how many there are.

    Raises:
        MissingExtra: if faster-coco-eval is not installed, or polygons cannot be drawn.
    """
    truth = {
        "images": [_image(images, place) for place in found],
        "categories": [{"id": label, "name": str(label)} for label in range(1, categories + 1)],
    }
    box = _judged(truth, images, found, "bbox")
    with_masks = images.has_masks and all(each.masks is not None for each in found.values())
    mask = _judged(truth, images, found, "segm") if with_masks and found else None
    return DetectionScores(box, mask, len(found))


def _image(images: DetectionSet, place: int) -> dict[str, int]:
    height, width = images.sizes[place].tolist()
    return {"id": place, "height": height, "width": width}


def _judged(truth: Mapping[str, Any], images: DetectionSet, found: Mapping[int, Prediction], kind: Kind) -> Precision:
    """Score boxes or masks."""
    wanted = [each for place in found for each in _wanted(images, place, kind)]
    answers = [each for place, answer in found.items() for each in _answers(place, answer, kind)]
    for rows in (wanted, answers):
        for number, each in enumerate(rows, start=1):
            each["id"] = number
    precision, recall = precision_and_recall({**truth, "annotations": wanted}, answers, kind)
    return _summary(precision, recall)


def _wanted(images: DetectionSet, place: int, kind: Kind) -> Iterator[dict[str, Any]]:
    """Write what is annotated on an image, as COCO's json does."""
    objects = images.objects(place)
    for number, (x0, y0, x1, y1) in enumerate(objects.boxes.tolist()):
        row = {
            "image_id": place,
            "category_id": int(objects.labels[number]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": float(objects.areas[number]),
            "iscrowd": int(objects.crowd[number]),
        }
        outline = objects.outlines[number] if kind == "segm" else None
        yield row | ({"segmentation": outline.coco()} if outline is not None else {})


def _answers(place: int, answer: Prediction, kind: Kind) -> Iterator[dict[str, Any]]:
    """Write what was found on an image. Small and large are told by boxes among boxes, and by masks among masks."""
    for number, (x0, y0, x1, y1) in enumerate(answer.boxes.tolist()):
        row = {
            "image_id": place,
            "category_id": int(answer.labels[number]),
            "score": float(answer.scores[number]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
        }
        if kind == "segm":
            assert answer.masks is not None
            shape = answer.masks[number]
            row |= {"segmentation": compressed(shape.runs.tolist(), shape.size), "area": shape.area}
        yield row


def _summary(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> Precision:
    """Average over overlaps t, recalls r and categories k; then come ranges of areas and the most detections.

    Args:
        precision: t r k 4 3.
        recall: t k 4 3.
    """
    everything, small, medium, large = range(4)
    one, ten, hundred = range(3)
    of_all = precision[:, :, :, everything, hundred]  # t r k
    return Precision(
        ap=_mean(of_all),
        ap50=_mean(of_all[0]),
        ap75=_mean(of_all[5]),
        ap_small=_mean(precision[:, :, :, small, hundred]),
        ap_medium=_mean(precision[:, :, :, medium, hundred]),
        ap_large=_mean(precision[:, :, :, large, hundred]),
        ar1=_mean(recall[:, :, everything, one]),
        ar10=_mean(recall[:, :, everything, ten]),
        ar100=_mean(recall[:, :, everything, hundred]),
        ar_small=_mean(recall[:, :, small, hundred]),
        ar_medium=_mean(recall[:, :, medium, hundred]),
        ar_large=_mean(recall[:, :, large, hundred]),
        categories=tuple(_mean(of_all[:, :, category]) for category in range(of_all.shape[2])),
        categories50=tuple(_mean(of_all[0, :, category]) for category in range(of_all.shape[2])),
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Average what is not -1, which stands for nothing to be found; NaN without any."""
    known = values[values > -1]
    return float(known.mean()) if known.size else math.nan
