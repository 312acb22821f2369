"""How sure a mean over a few seeds is, and a difference of two, which is measured on a few images as well."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95

Answers = NDArray[np.bool_]
"""Whether each image (column) was named rightly with each seed (row)."""

_MOST_FREEDOM = 1000  # with more, Student's distribution is the normal one to three digits


@dataclass(frozen=True)
class Estimate:
    """A mean, and the interval that holds the true one with some confidence.

    Args:
        mean: what was measured.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Difference:
    """By how much one network is better than another.

    Args:
        estimate: of the difference for other seeds and other images of the same kind.
        over_seeds: of the difference for other seeds on these very images.
        image_limit: half of the interval's length that would stay with any number of seeds, since the images are few.
    """

    estimate: Estimate
    over_seeds: Estimate
    image_limit: float


def student_quantile(probability: float, freedom: float) -> float:
    """Give the value below which Student's t lies with a probability.

    Args:
        probability: in (0.5, 1).
        freedom: degrees of freedom, at least 1; parts of one are dropped, which makes the value larger, never smaller.

    >>> round(student_quantile(0.975, 2), 4)
    4.3027
    """
    return _quantile(probability, int(min(freedom, _MOST_FREEDOM)))


@cache
def _quantile(probability: float, freedom: int) -> float:
    low, high = 0.0, 1.0
    while _share_within(high, freedom) < 2 * probability - 1:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:  # down to neighbouring numbers
        low, high = (middle, high) if _share_within(middle, freedom) < 2 * probability - 1 else (low, middle)
    return high


def _share_within(t: float, freedom: int) -> float:
    """Give the probability that Student's t lies in [-t, t]: a finite sum for whole degrees of freedom.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    total, term = 0.0, math.cos(angle) if odd else 1.0
    for step in range(1, freedom // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * step - 1 + odd) / (2 * step + odd)
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def mean_over_seeds(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate the mean for other seeds from those of some, by Student's t.

    Args:
        values: one for each seed, at least two.
        confidence: that the interval holds the true mean, in (0, 1).
    """
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = student_quantile((1 + confidence) / 2, len(values) - 1) * error
    return Estimate(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Spread:
    """How much differences of two networks vary from seed to seed.

    Args:
        variance: of a difference of scores.
        freedom: how many free numbers it was estimated from.
    """

    variance: float
    freedom: int


def spread_over_seeds(networks: Sequence[Answers]) -> Spread:
    """Estimate how much differences vary from seed to seed, from all pairs of several networks at once.

    What is left of the scores without the means of networks and of seeds is chance. All networks together tell more of
    it than two of them do; that they vary alike is supposed.

    Args:
        networks: answers of each, at least two, for the same seeds and images.
    """
    scores = np.stack([each.mean(axis=1) for each in networks])  # networks seeds
    rest = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    freedom = (len(scores) - 1) * (scores.shape[1] - 1)
    return Spread(2 * float((rest**2).sum()) / freedom, freedom)


def paired_difference(
    ours: Answers, theirs: Answers, *, spread: Spread | None = None, confidence: float = CONFIDENCE
) -> Difference:
    """Estimate by how much the share of right answers differs, pair by pair: same seed, same image.

    Seeds and images are both samples, and every seed met every image: an analysis of variance with two crossed random
    factors tells how much each contributes to the variance of the mean difference, and the interval holds both. It is
    never narrower than that for other seeds on these images, which asks for less: with two or three seeds the degrees
    of freedom of the whole are an estimate themselves, and alone would make some intervals too narrow.

    Args:
        ours: answers of the network of interest: (seeds, images), at least two of each.
        theirs: those of the other one, for the same seeds and images.
        spread: from seed to seed, where more networks than these two tell of it.
        confidence: that the interval holds the true difference, in (0, 1).

    Source: for readers and cases in the place of seeds and images, Dorfman, Berbaum and Metz, Invest. Radiol. 27
    (1992), 723-731, with the degrees of freedom of Hillis, Stat. Med. 26 (2007), 596-619.
    """
    spread = spread or spread_over_seeds([ours, theirs])
    gains = ours.astype(np.float64) - theirs
    seeds, images = gains.shape
    mean = float(gains.mean())
    by_seed, by_image = gains.mean(axis=1), gains.mean(axis=0)
    rest = gains - by_seed[:, None] - by_image + mean
    noise = float((rest**2).sum()) / ((seeds - 1) * (images - 1))  # the three mean squares of the analysis
    seed_part = images * spread.variance
    image_part = max(seeds * float(by_image.var(ddof=1)) - noise, 0.0)
    total = seed_part + image_part
    freedom = spread.freedom * (total / seed_part) ** 2 if seed_part else math.inf
    tail = (1 + confidence) / 2
    over_seeds = student_quantile(tail, spread.freedom) * math.sqrt(spread.variance / seeds)
    half = max(student_quantile(tail, freedom) * math.sqrt(total / (seeds * images)), over_seeds)
    limit = student_quantile(tail, math.inf) * math.sqrt(image_part / (seeds * images))
    return Difference(
        Estimate(mean, mean - half, mean + half), Estimate(mean, mean - over_seeds, mean + over_seeds), limit
    )


def confidence_of_each(comparisons: int, confidence: float = CONFIDENCE) -> float:
    """Give the confidence of each of several intervals, so that with `confidence` all of them are right at once.

    Source: Bonferroni's inequality, which asks nothing of how the comparisons depend on one another.
    """
    return 1 - (1 - confidence) / max(comparisons, 1)
