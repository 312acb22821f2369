"""What the verbs of `graft detect` have in common."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from visiongraft.cli.values import check_no_training_state
from visiongraft.detect.faults import Fault, Fix
from visiongraft.detect.scores import DetectionScores
from visiongraft.detect.store import TrainedDetector, read
from visiongraft.errors import GraftError, WeightsError, counted
from visiongraft.train.run import RunFolder
from visiongraft.train.state import Metrics


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read --min-size: pixels, or several numbers of them with commas between.

    Raises:
        GraftError: if it is none.
    """
    try:
        sizes = tuple(int(each) for each in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise GraftError(f"--min-size takes pixels, as 512 or as 480,512,544, and got {text!r}.")
    return sizes


def parse_factors(text: str, option: str) -> tuple[float, ...]:
    """Read numbers above 0 with commas between.

    Raises:
        GraftError: if it is none.
    """
    try:
        factors = tuple(float(each) for each in text.split(","))
    except ValueError:
        factors = ()
    if not factors or not all(0 < each < math.inf for each in factors):
        raise GraftError(f"{option} takes numbers above 0 with commas between, as 2.5,4, and got {text!r}.")
    return factors


def parse_fix(text: str | None) -> tuple[Fix, ...]:
    """Read --fix: words with commas between.

    Raises:
        GraftError: if one of them is unknown.
    """
    known: dict[str, Fix] = {each: each for each in get_args(Fix)}
    words = [each.strip() for each in (text or "").split(",") if each.strip()]
    for each in words:
        if each not in known:
            raise GraftError(f"--fix takes {' and '.join(known)}, with a comma between, and got {each!r}.")
    return tuple(known[each] for each in words)


def mended(faults: Sequence[Fault]) -> list[str]:
    """Say that faults were mended, where there were any."""
    return [f"{counted(len(faults), 'fault')} of the annotations: --fix has mended what it can."] if faults else []


def find_detector(path: Path) -> TrainedDetector:
    """Read a weight file of a detector, or the best one of a run folder.

    Raises:
        WeightsError: if there is none, or it cannot be read.
    """
    if not path.is_dir():
        check_no_training_state(path)
        return read(path)
    best = RunFolder(path).best
    if not best.exists():
        raise WeightsError(
            f"{path} holds no {best.name}. Give a run folder of `graft detect train`, or a .safetensors file."
        )
    return read(best)


def in_numbers(scores: DetectionScores) -> dict[str, float | None]:
    """Give the scores by name; None where there was nothing to be found."""
    return {name: value if math.isfinite(value) else None for name, value in scores.named().items()}


def lines_of(scores: DetectionScores) -> list[str]:
    """Say the scores of boxes and of masks in words."""
    kinds = {"box": scores.box, "mask": scores.mask}
    return [f"{name} AP {each.ap:.3f}, AP50 {each.ap50:.3f}" for name, each in kinds.items() if each is not None]


def score_in_words(row: Metrics) -> str:
    """Say what a row of metrics.csv scored."""
    kinds = [name for name in ("box", "mask") if f"val_{name}_ap" in row]
    return "  ".join(f"{kind} AP {row[f'val_{kind}_ap']:.3f} AP50 {row[f'val_{kind}_ap50']:.3f}" for kind in kinds)
