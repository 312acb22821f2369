"""What an evaluation says of each class and of each image: the numbers of a report, apart from how they look."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visiongraft.train.evaluate import Evaluation

Confusion = NDArray[np.int64]
"""How many images of each class (row) were taken for each class (column)."""

_Z95 = 1.959964  # 97.5% quantile of the normal distribution


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others. A share that divides by zero is None.

    Args:
        name: of the class.
        images: how many of it were judged.
        recall: share of its images that were found, in [0, 1].
        precision: share of the images taken for it that are of it, in [0, 1].
        f1: harmonic mean of the two, in [0, 1].
        taken_for: the class that its images were most often mistaken for, or None.
        times: how often that happened.
    """

    name: str
    images: int
    recall: float | None
    precision: float | None
    f1: float | None
    taken_for: str | None
    times: int


class Cell(NamedTuple):
    """A place in a confusion matrix: how many images, and their share of their class, in [0, 1]."""

    number: int
    share: float


@dataclass(frozen=True)
class ConfusedPair:
    """One class taken for another.

    Args:
        true: what the images show.
        predicted: what they were taken for.
        count: how often.
        images: how many images of the true class were judged.
    """

    true: str
    predicted: str
    count: int
    images: int

    @property
    def share(self) -> float:
        """Share of the true class that was taken for the other, in (0, 1]."""
        return self.count / self.images


@dataclass(frozen=True)
class Verdict:
    """What was said of one image.

    Args:
        index: its place in its set.
        true: its class.
        predicted: the most probable class.
        confidence: the probability of the predicted class, in [0, 1].
        chance: the probability of the true class, in [0, 1].
    """

    index: int
    true: str
    predicted: str
    confidence: float
    chance: float


def class_scores(confusion: Confusion, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    """Score each class by itself, in the order of the classes."""
    images, taken, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    wrong = confusion - np.diag(right)
    rivals = wrong.argmax(axis=1)
    return tuple(
        ClassScore(
            name,
            int(images[place]),
            _share(right[place], images[place]),
            _share(right[place], taken[place]),
            _share(2 * right[place], images[place] + taken[place]),
            classes[rivals[place]] if wrong[place].any() else None,
            int(wrong[place].max()),
        )
        for place, name in enumerate(classes)
    )


def mean_share(shares: Sequence[float | None]) -> float | None:
    """Average the shares that exist; None where there is none."""
    known = [each for each in shares if each is not None]
    return sum(known) / len(known) if known else None


def confusion_cells(confusion: Confusion) -> tuple[tuple[Cell, ...], ...]:
    """Give each count with its share of its row; in a row without images all shares are 0."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return tuple(
        tuple(Cell(int(number), float(share)) for number, share in zip(*row, strict=True))
        for row in zip(confusion, shares, strict=True)
    )


def confused_pairs(confusion: Confusion, classes: Sequence[str], limit: int) -> tuple[ConfusedPair, ...]:
    """List the most frequent confusions, the most frequent first; of equal ones, the larger share of its class."""
    images = confusion.sum(axis=1)
    wrong = confusion - np.diag(confusion.diagonal())
    pairs = (
        ConfusedPair(classes[row], classes[column], int(wrong[row, column]), int(images[row]))
        for row, column in np.argwhere(wrong).tolist()
    )
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, -pair.share))[:limit])


def worst_mistakes(evaluation: Evaluation, classes: Sequence[str], limit: int) -> tuple[Verdict, ...]:
    """List the images that a wrong class was claimed for, the most confident claim first."""
    wrong = np.flatnonzero(evaluation.predictions != evaluation.labels)
    return _verdicts(evaluation, classes, wrong)[:limit]


def surest_hits(
    evaluation: Evaluation, classes: Sequence[str], per_class: int
) -> tuple[tuple[str, tuple[Verdict, ...]], ...]:
    """List for each class the images that were found with most confidence; a class without any is left out."""
    right = np.flatnonzero(evaluation.predictions == evaluation.labels)
    hits = _verdicts(evaluation, classes, right)
    grouped = ((name, tuple(each for each in hits if each.true == name)[:per_class]) for name in classes)
    return tuple((name, found) for name, found in grouped if found)


def score_interval(share: float, count: int) -> tuple[float, float]:
    """Give the range that a share of `count` images is in with 95% confidence, as if they had been drawn at random.

    Source: Wilson's score interval, J. Am. Stat. Assoc. 22 (1927), 209-212.
    """
    spread = _Z95**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z95 / (1 + spread) * math.sqrt((share * (1 - share) + spread / 4) / count)
    return round(middle - half, 9), round(middle + half, 9)  # a bound of 0 or 1 is to be one, and not nearly


def _verdicts(evaluation: Evaluation, classes: Sequence[str], rows: NDArray[np.intp]) -> tuple[Verdict, ...]:
    """Describe some images, the most confident first; of equal ones, the one whose true class was thought of least."""
    labels, predictions = evaluation.labels[rows], evaluation.predictions[rows]
    confidence, chance = evaluation.probabilities[rows, predictions], evaluation.probabilities[rows, labels]
    indices = evaluation.indices[rows]
    return tuple(
        Verdict(
            int(indices[place]),
            classes[labels[place]],
            classes[predictions[place]],
            float(confidence[place]),
            float(chance[place]),
        )
        for place in np.lexsort((indices, chance, -confidence))
    )


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None
