"""Many cases, raced one after the other, and what they come to together."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import geometric_mean

import torch

from visiongraft.bench.case import Case, Direction, Mode, Precision
from visiongraft.bench.contenders import OURS, Peer
from visiongraft.bench.race import Result, race
from visiongraft.families.zoo import get_spec
from visiongraft.kernels.types import Grid


@dataclass(frozen=True)
class Suite:
    """What is raced: every network in every way.

    Args:
        models: names in the zoo.
        peers: who is beside ours.
        images: sizes in pixels; None for each network's own.
        batch_sizes: images at a time.
        precisions: number formats of the arithmetic.
        modes: how the code runs.
        directions: inference, training or both.
    """

    models: tuple[str, ...]
    peers: tuple[Peer, ...]
    images: tuple[Grid | None, ...] = (None,)
    batch_sizes: tuple[int, ...] = (8,)
    precisions: tuple[Precision, ...] = ("float32",)
    modes: tuple[Mode, ...] = ("eager",)
    directions: tuple[Direction, ...] = ("inference",)

    def cases(self) -> Iterator[Case]:
        """Give the cases, network by network. Folded networks do not learn, so there are none of that.

        Raises:
            UnknownModel: if the zoo has none of a name.
            ImageSizeError: if one cannot take an image.
        """
        ways = product(self.images, self.directions, self.modes, self.precisions, self.batch_sizes)
        for model, (image, direction, mode, precision, batch_size) in product(self.models, list(ways)):
            spec = get_spec(model)
            spec = spec if image is None else spec.at(image)
            if mode == "folded" and direction == "training":
                continue
            yield Case(model, spec.image, batch_size, precision, mode, direction)

    def run(
        self,
        *,
        device: torch.device,
        patience: float,
        alone: bool,
        tell: Callable[[Case, Sequence[Result]], None],
    ) -> tuple[Result, ...]:
        """Race all cases.

        Args:
            device: where to compute.
            patience: seconds after which no further round of a case begins.
            alone: whether memory and first answers are measured too.
            tell: hears of each case when it is raced.
        """
        found: list[Result] = []
        for case in list(self.cases()):
            results = race(case, self.peers, device=device, patience=patience, alone=alone)
            tell(case, results)
            found += results
        return tuple(found)


@dataclass(frozen=True)
class Mean:
    """How much faster ours is than a peer, over all networks that both have.

    Args:
        peer: whom.
        way: the case without the network, in words.
        times: geometric mean over the networks of the median ratios.
        models: how many networks these are.
    """

    peer: str
    way: str
    times: float
    models: int


def means(results: Iterable[Result]) -> list[Mean]:
    """Sum up how much faster ours is, for each peer and each way."""
    groups: dict[tuple[str, str], list[float]] = {}
    for each in results:
        if each.contender != OURS and each.times is not None:
            groups.setdefault((each.contender, each.case.words), []).append(each.times[1])
    return [Mean(peer, way, geometric_mean(times), len(times)) for (peer, way), times in groups.items()]


COLUMNS = (
    "model",
    "contender",
    "height",
    "width",
    "batch_size",
    "precision",
    "mode",
    "direction",
    "ms_per_image",
    "times_ours_low",
    "times_ours",
    "times_ours_high",
    "dense_share",
    "difference",
    "peak_mib",
    "first_seconds",
    "rounds",
    "failure",
)
"""Of the table."""


def row_of(result: Result) -> dict[str, object]:
    """Give a result as plain values, by the names in COLUMNS."""
    case = result.case
    low, middle, high = result.times or (None, None, None)
    asked = (case.model, result.contender, *case.image, case.batch_size, case.precision, case.mode, case.direction)
    milliseconds = None if result.seconds is None else 1000 * result.seconds
    numbers = (milliseconds, low, middle, high, result.dense_share, result.difference)
    rounded = [None if each is None else float(f"{each:.4g}") for each in numbers]
    rest = (result.peak_mib, result.first_seconds, result.rounds, result.failure)
    return dict(zip(COLUMNS, (*asked, *rounded, *rest), strict=True))


def as_csv(results: Iterable[Result]) -> str:
    """Give a table, a line for each contender of each case."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row_of(each) for each in results)
    return text.getvalue()
