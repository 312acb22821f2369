"""The processes that train together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Who takes part in a training, of which this process is one.

    Args:
        rank: of this process, from 0. The first one writes the files and talks to the user.
        size: how many processes there are.
        group: by which they talk, from CPU to CPU: so nobody waits for what a GPU still computes. Several have one.
    """

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None

    @staticmethod
    def assembled(rank: int, size: int) -> "Team":
        """Make the team, once its processes have found one another."""
        if size == 1:
            return ALONE
        group = dist.new_group(backend="gloo")
        assert isinstance(group, dist.ProcessGroup)
        return Team(rank, size, group)

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that writes and talks."""
        return self.rank == 0

    def gathered(self, thing: T) -> list[T]:
        """Give what every process called this with, in the order of their ranks; all of them must call it."""
        if self.size == 1:
            return [thing]
        found: list[T | None] = [None] * self.size
        dist.all_gather_object(found, thing, group=self.group)
        return found  # type: ignore[return-value]  # every place was filled

    def counts(self, numbers: Sequence[int]) -> list[list[int]]:
        """Do what `gathered` does for as many whole numbers from each process, in far less time."""
        if self.size == 1:
            return [list(numbers)]
        own = torch.tensor(numbers)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own, group=self.group)
        return [each.tolist() for each in found]

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
            except Exception as error:  # it is raised again below, here and in the others
                outcome[0] = error
        dist.broadcast_object_list(outcome, src=0, group=self.group)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]  # type: ignore[return-value]  # what the first one's work gave


ALONE = Team()
"""One process, as on a laptop."""
