"""What a comparison found: a row for each network, and the answer in a sentence for each difference."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import PurePath

import numpy as np

from visiongraft.compare.folder import ComparisonFolder, Failed, Result
from visiongraft.compare.plan import Entry, Plan
from visiongraft.compare.speed import Speed
from visiongraft.compare.statistics import (
    Answers,
    Difference,
    Estimate,
    confidence_of_each,
    mean_over_seeds,
    paired_difference,
    spread_over_seeds,
)
from visiongraft.errors import counted
from visiongraft.summary import Summary, summarize
from visiongraft.surgery.foreign import Blueprint

Outcomes = Mapping[tuple[str, int], Result | Failed]
"""What came of each run, by network and seed."""

_FINE = 0.05  # points below which an end of an interval needs a second digit, not to be written as 0.0


@dataclass(frozen=True)
class Row:
    """One network of a finished comparison.

    Args:
        entry: the network and its epochs.
        summary: its parameters and multiply-adds, with the classes of the data.
        runs: what came of each seed, in order.
        latency: how long it takes for one image.
        throughput: how long it takes for an image in a batch.
        score: share of images named rightly, with its interval for other seeds; None where a run diverged.
        difference: to the reference; None for the reference itself, and where a run of either diverged.
    """

    entry: Entry
    summary: Summary
    runs: tuple[Result | Failed, ...]
    latency: Speed
    throughput: Speed
    score: Estimate | None
    difference: Difference | None

    @property
    def name(self) -> str:
        """The network's name."""
        return self.entry.name

    @property
    def results(self) -> tuple[Result, ...]:
        """The runs that did not diverge."""
        return tuple(each for each in self.runs if isinstance(each, Result))

    @property
    def failures(self) -> tuple[Failed, ...]:
        """The runs that did."""
        return tuple(each for each in self.runs if isinstance(each, Failed))

    @property
    def seconds(self) -> float | None:
        """Mean duration of a run, None where there is none."""
        return float(np.mean([each.seconds for each in self.results])) if self.results else None


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Args:
        plan: what was done.
        folder: where it lies.
        rows: a network each, in the order of the plan.
        reference: the network that the others are compared with.
    """

    plan: Plan
    folder: ComparisonFolder
    rows: tuple[Row, ...]
    reference: str

    @property
    def others(self) -> tuple[Row, ...]:
        """All rows but the reference's."""
        return tuple(each for each in self.rows if each.name != self.reference)

    @property
    def data_title(self) -> str:
        """The last part of the data's name."""
        return PurePath(self.plan.data.name).name or self.plan.data.name

    @property
    def seconds(self) -> float:
        """Training time of all runs together."""
        return sum(each.seconds for row in self.rows for each in row.results)

    @property
    def answers(self) -> tuple[str, ...]:
        """A sentence for each network but the reference."""
        return tuple(answer(each, self.reference, self.data_title, self._failure_of_reference) for each in self.others)

    @property
    def _failure_of_reference(self) -> Failed | None:
        row = next(each for each in self.rows if each.name == self.reference)
        return row.failures[0] if row.failures else None

    def as_csv(self) -> str:
        """Give a row per network, scores as shares in [0, 1] and times in seconds; empty where there is no number."""
        stream = io.StringIO()
        rows = [self._plain(each) for each in self.rows]
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue()

    def as_dicts(self) -> list[dict[str, object]]:
        """Give what the table holds, as plain values."""
        return [self._plain(each) for each in self.rows]

    def _plain(self, row: Row) -> dict[str, object]:
        gain = row.difference
        return {
            "model": row.name,
            "params": row.summary.params,
            "macs": row.summary.macs,
            "image_height": row.summary.image[0],
            "image_width": row.summary.image[1],
            "latency": row.latency.seconds,
            "latency_ratio": row.latency.ratio,
            "seconds_per_image_in_batches": row.throughput.seconds,
            "epochs": row.entry.epochs,
            "train_seconds": row.seconds,
            **_interval("top1", row.score),
            "reference": self.reference,
            **_interval("difference", None if gain is None else gain.estimate),
            "difference_low_over_seeds": None if gain is None else gain.over_seeds.low,
            "difference_high_over_seeds": None if gain is None else gain.over_seeds.high,
            "difference_image_limit": None if gain is None else gain.image_limit,
            **{f"top1_seed_{each.seed}": each.top1 if isinstance(each, Result) else None for each in row.runs},
        }


def _interval(name: str, estimate: Estimate | None) -> dict[str, object]:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def answer(row: Row, reference: str, data: str, failure: Failed | None) -> str:
    """Say whether a network is better than another, in one sentence.

    Args:
        row: of the network.
        reference: what it is compared with.
        data: what it was trained on.
        failure: of the reference, if a run of it diverged.
    """
    failed = row.failures[0] if row.failures else failure
    if failed is not None:
        return f"{row.name} cannot be compared with {reference}: {failed.model} diverged with seed {failed.seed}."
    assert row.difference is not None
    gain = row.difference.estimate
    digits = 1 if not gain.excludes_zero or min(abs(gain.low), abs(gain.high)) * 100 >= _FINE else 2
    interval = f"95% interval {points(gain.low, digits)} to {points(gain.high, digits)}"
    size = points(abs(gain.mean), digits)
    if gain.excludes_zero:
        if gain.mean > 0:
            return f"On {data}, {row.name} beats {reference} by {size} points of top-1, {interval}."
        return (
            f"On {data}, {row.name} is behind {reference} by {size} points of top-1, 95% interval"
            f" {points(-gain.high, digits)} to {points(-gain.low, digits)}."
        )
    where = "level with it" if size == "0.0" else f"{size} points {'ahead' if gain.mean > 0 else 'behind'}"
    return f"On {data}, no difference between {row.name} and {reference} can be claimed: it is {where}, {interval}."


def points(share: float, digits: int = 1) -> str:
    """Write a difference of shares in percentage points, with a minus that is as wide as a digit."""
    text = f"{100 * share:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "\N{MINUS SIGN}")


def make_rows(
    plan: Plan,
    specs: Sequence[Blueprint],
    outcomes: Outcomes,
    *,
    latencies: Sequence[Speed],
    throughputs: Sequence[Speed],
    reference: str,
) -> tuple[Row, ...]:
    """Count the networks, and compare their scores.

    Args:
        plan: of the comparison.
        specs: its networks, with the classes of the data.
        outcomes: of all its runs.
        latencies: of each network, for one image.
        throughputs: of each network, for an image in a batch.
        reference: the name of the network that the others are compared with.

    Returns:
        A row for each network. The intervals of their differences hold all at once with 95% confidence.
    """
    runs = {each.name: tuple(outcomes[each.name, seed] for seed in plan.seeds) for each in plan.entries}
    right = _answers(runs)
    confidence = confidence_of_each(len(plan.entries) - 1)
    spread = spread_over_seeds(list(right.values())) if len(right) > 1 else None
    rows = []
    for entry, spec, latency, throughput in zip(plan.entries, specs, latencies, throughputs, strict=True):
        difference = None
        if entry.name != reference and {entry.name, reference} <= right.keys():
            difference = paired_difference(right[entry.name], right[reference], spread=spread, confidence=confidence)
        score = None
        if entry.name in right:
            score = _as_share(mean_over_seeds([each.top1 for each in runs[entry.name] if isinstance(each, Result)]))
        rows.append(Row(entry, summarize(spec), runs[entry.name], latency, throughput, score, difference))
    return tuple(rows)


def _as_share(estimate: Estimate) -> Estimate:
    """Cut off what no share can be."""
    return Estimate(estimate.mean, max(estimate.low, 0.0), min(estimate.high, 1.0))


def _answers(runs: Mapping[str, tuple[Result | Failed, ...]]) -> dict[str, Answers]:
    """Give (seeds, images) of each network of which no run diverged, for the images that all of these could read."""
    whole = {
        name: [each for each in found if isinstance(each, Result)]
        for name, found in runs.items()
        if not any(isinstance(each, Failed) for each in found)
    }
    everywhere = [each.indices for found in whole.values() for each in found]
    if not everywhere:
        return {}
    shared = reduce(np.intersect1d, everywhere)
    return {name: np.stack([_right(each, shared) for each in found]) for name, found in whole.items()}


def _right(result: Result, shared: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Answers:
    order = np.argsort(result.indices)
    chosen = order[np.searchsorted(result.indices, shared, sorter=order)]
    return result.predictions[chosen] == result.labels[chosen]


def in_short(comparison: Comparison) -> str:
    """Say how it was compared, for a person who sees the answers."""
    seeds = counted(len(comparison.plan.seeds), "seed")
    others = len(comparison.others)
    joint = "" if others == 1 else f" The {others} intervals hold together."
    return f"Over {seeds} and {counted(comparison.plan.data.val, 'validation image')}.{joint}"
