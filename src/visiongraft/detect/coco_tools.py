"""The one door to pycocotools and faster-coco-eval: drawing polygons, and the average precision of COCO."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from visiongraft.errors import MissingExtra
from visiongraft.kernels.types import Grid

Kind = Literal["bbox", "segm"]
"""What is compared, in COCO's words: boxes, or masks."""


def check_installed(kind: Kind) -> None:
    """See that what scores boxes, or masks, is installed, before hours of training end without it.

    Raises:
        MissingExtra: if it is not.
    """
    for name in ("faster_coco_eval", *(("pycocotools.mask",) if kind == "segm" else ())):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise _missing("Scores of detectors", error) from None


def polygon_runs(rings: Sequence[Sequence[float]], size: Grid) -> bytes:
    """Draw the insides of polygons, x and y in turn, into an image of a height and width, as compressed run lengths.

    Raises:
        MissingExtra: if pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ModuleNotFoundError as error:
        raise _missing("Polygons", error) from None
    height, width = size
    return mask.merge(mask.frPyObjects([list(each) for each in rings], height, width))["counts"]


def compressed(runs: Sequence[int], size: Grid) -> dict[str, Any]:
    """Write run lengths as COCO's results have them, which takes a hundredth of the memory.

    Raises:
        MissingExtra: if pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ModuleNotFoundError as error:
        raise _missing("Scores of masks", error) from None
    return mask.frPyObjects({"size": [*size], "counts": list(runs)}, *size)


def precision_and_recall(
    truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]], kind: Kind
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare what was found with the truth.

    Args:
        truth: images, categories and annotations as in COCO's json.
        found: the same as annotations, with scores.
        kind: boxes or masks.

    Returns:
        Precision at 10 overlaps, 101 recalls, each category, 4 ranges of area and up to 1, 10 and 100 of an image;
        and recall, without the second axis. Both are -1 where there is nothing to be found.

    Raises:
        MissingExtra: if faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ModuleNotFoundError as error:
        raise _missing("Scores of detectors", error) from None
    wanted, answers = COCO(), COCO()
    wanted.dataset = dict(truth)
    answers.dataset = {**truth, "annotations": [dict(each) for each in found]}
    wanted.createIndex()
    answers.createIndex()
    judge = COCOeval_faster(wanted, answers, kind)
    judge.evaluate()
    judge.accumulate()
    return np.asarray(judge.eval["precision"]), np.asarray(judge.eval["recall"])


def _missing(what: str, error: ModuleNotFoundError) -> MissingExtra:
    name = str(error.name).partition(".")[0].replace("_", "-")
    return MissingExtra(f"{what} need {name}. Install it with: pip install 'visiongraft[detect]'")
