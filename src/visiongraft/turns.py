"""How long several things take that take turns in one process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

ROUNDS = 31
"""How often each thing has its turn where time allows it."""

FEWEST_ROUNDS = 5
"""How often it has it however long that takes."""

PATIENCE = 15.0
"""Seconds after which no further round begins, once there are the fewest."""

_CALLS = 3  # that are timed together, after one that is not


@dataclass(frozen=True)
class Turns:
    """Seconds that several things took, one after the other, round after round.

    Args:
        seconds: of one call, a row for each round, a column for each thing.
    """

    seconds: Float[ndarray, "rounds things"]

    @property
    def rounds(self) -> int:
        """How often each had its turn."""
        return len(self.seconds)

    def median(self, thing: int) -> float:
        """Give the median of a thing's seconds."""
        return float(np.median(self.seconds[:, thing]))

    def ratios(self, thing: int, to: int) -> tuple[float, float, float]:
        """Give quartiles of the seconds of a thing over those of another: first, median and third.

        A machine's speed drifts. Ratios within a round, in which each has its turn, hardly feel it.
        """
        low, middle, high = np.quantile(self.seconds[:, thing] / self.seconds[:, to], (0.25, 0.5, 0.75))
        return float(low), float(middle), float(high)


def take_turns(
    things: Sequence[Callable[[], object]],
    *,
    device: torch.device,
    rounds: int = ROUNDS,
    patience: float = PATIENCE,
) -> Turns:
    """Time things in turn: in each round each is called once untimed, and then some times timed.

    Every second round goes through them backwards, so that none profits from its place behind another.

    Args:
        things: what to call; each has been called before, and has what it makes only once.
        device: where they compute.
        rounds: how many there are at most.
        patience: seconds after which no further round begins, once there are the fewest.
    """
    began = perf_counter()
    rows: list[list[float]] = []
    while len(rows) < rounds and (len(rows) < FEWEST_ROUNDS or perf_counter() - began < patience):
        places = list(range(len(things)))[:: -1 if len(rows) % 2 else 1]
        row = dict.fromkeys(places, 0.0)
        for place in places:
            row[place] = _seconds(things[place], device)
        rows.append([row[place] for place in range(len(things))])
    return Turns(np.array(rows))


def _seconds(thing: Callable[[], object], device: torch.device) -> float:
    thing()
    wait(device)
    began = perf_counter()
    for _ in range(_CALLS):
        thing()
    wait(device)
    return (perf_counter() - began) / _CALLS


def wait(device: torch.device) -> None:
    """Let an accelerator finish what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
