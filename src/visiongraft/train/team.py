"""The processes that train together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Who takes part in a training, of which this process is one.

    Args:
        rank: of this process, from 0. The first one writes the files and talks to the user.
        size: how many processes there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that writes and talks."""
        return self.rank == 0

    def gathered(self, thing: T) -> list[T]:
        """Give what every process called this with, in the order of their ranks; all of them must call it."""
        if self.size == 1:
            return [thing]
        found: list[T | None] = [None] * self.size
        dist.all_gather_object(found, thing)
        return found  # type: ignore[return-value]  # every place was filled

    def led(self, work: Callable[[], T]) -> T:
        """Do something in the first process alone, and give all processes what came of it; its error reaches all.

        Raises:
            Exception: what the work raised.
        """
        if self.size == 1:
            return work()
        outcome: list[T | Exception | None] = [None]
        if self.leads:
            try:
                outcome[0] = work()
            except Exception as error:  # noqa: BLE001 - it is raised again below, here and in the others
                outcome[0] = error
        dist.broadcast_object_list(outcome, src=0)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]  # type: ignore[return-value]  # what the first one's work gave


ALONE = Team()
"""One process, as on a laptop."""
