"""What processes tell one another of the steps that they took."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from visiongraft.data.loader import Failure


class Taken(NamedTuple):
    """A step that was taken: its number from 1, its learning rate, and its loss on the device."""

    number: int
    rate: float
    loss: Tensor


class News(NamedTuple):
    """What happened since the processes last spoke: what was asked for, whether the state is due, what went wrong."""

    asked: bool = False
    ordered: bool = False
    due: bool = False
    wrong: tuple[tuple[int, float, float], ...] = ()
    failures: tuple[Failure, ...] = ()

    @staticmethod
    def of_all(news: Sequence["News"]) -> "News":
        """Join what the processes report."""
        return News(
            any(each.asked for each in news),
            any(each.ordered for each in news),
            any(each.due for each in news),
            tuple(wrong for each in news for wrong in each.wrong),
            tuple(failure for each in news for failure in each.failures),
        )


def is_odd(value: float) -> bool:
    """Tell whether a number is none."""
    return not math.isfinite(value)
