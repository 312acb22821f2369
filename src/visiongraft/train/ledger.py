"""What a training writes down while it goes: rows, scores, the best weights, images that could not be read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from visiongraft.data.loader import Failure, allowed_failures
from visiongraft.errors import DataError, DivergedError
from visiongraft.train.course import Keep
from visiongraft.train.run import RunFolder
from visiongraft.train.state import Best, Metrics, Progress
from visiongraft.train.team import Team

LOG_EVERY = 10
"""Steps between two points of TensorBoard's curves."""

Row = Mapping[str, float]
"""A score."""


class Listener(Protocol):
    """Someone who wants to know how a training goes, while it goes."""

    def go_on(self, done: int, steps: int, notes: Sequence[str]) -> None:
        """Hear that a run is taken up again: how many steps are done, of how many, and what is to be known of it."""

    def step(self, done: int, steps: int, loss: float) -> None:
        """Hear of a step: how many are done, of how many, and its loss."""

    def epoch(self, row: Metrics) -> None:
        """Hear of an epoch: its row of metrics.csv."""


class Ledger:
    """The books of one training. Every process keeps them; the first one writes them and tells the listener.

    Args:
        run: the folder.
        team: the processes.
        steps: of the whole run.
        images: how many images there are, to learn from and to be scored on.
        max_unreadable: share of them that may be unreadable.
        log: takes numbers by name, and the step.
        listener: told of every step and epoch.
    """

    def __init__(
        self,
        run: RunFolder,
        team: Team,
        *,
        steps: int,
        images: int,
        max_unreadable: float,
        log: Callable[[Mapping[str, float], int], None],
        listener: Listener | None,
    ) -> None:
        self.run = run
        self.team = team
        self.steps = steps
        self.images = images
        self.max_unreadable = max_unreadable
        self.log = log
        self.listener = listener
        self.progress = Progress()

    def go_on(self, notes: Sequence[str]) -> None:
        """Pass on that the run is taken up again."""
        if self.listener is not None and self.team.leads:
            self.listener.go_on(self.progress.step, self.steps, notes)

    def tell(self, number: int, loss: float) -> None:
        """Pass on a step, by its number from 1."""
        if not self.team.leads:
            return
        if number % LOG_EVERY == 0:
            self.log({"train_loss_step": loss}, number)
        if self.listener is not None:
            self.listener.step(number, self.steps, loss)

    def add(self, row: Metrics) -> None:
        """Write a row down."""
        self.progress.rows.append(row)
        if not self.team.leads:
            return
        self.run.append_metrics(row)
        self.log({name: float(value) for name, value in row.items() if value is not None}, self.progress.step)
        if self.listener is not None:
            self.listener.epoch(row)

    def amend(self, score: Row) -> None:
        """Give the last row a score."""
        self.progress.rows[-1] |= score
        if self.team.leads:
            self.run.write_tables(self.progress.rows, self.progress.unreadable.values())

    def is_kept(self, row: Row, epoch: int, *, keep: Keep, rank: Callable[[Row], tuple[float, ...]]) -> bool:
        """Tell whether weights with this score are to be kept, by how it ranks, and note it if so."""
        best = self.progress.best
        if keep == "best" and best is not None and rank(row) <= rank(best.row):
            return False
        self.progress.best = Best(dict(row), epoch)
        return True

    def note(self, failures: tuple[Failure, ...]) -> None:
        """List images that could not be read.

        Raises:
            DataError: if there are too many by now.
        """
        new = {each.name: each for each in failures if each.name not in self.progress.unreadable}
        if not new:
            return
        self.progress.unreadable |= new
        if self.team.leads:
            self.run.append_unreadable(new.values())
        unreadable = len(self.progress.unreadable)
        if unreadable > allowed_failures(self.max_unreadable, self.images):
            last = list(new.values())[-1]
            raise DataError(
                f"Of {self.images} images {unreadable} could not be read so far, more than the"
                f" {self.max_unreadable:.1%} that --max-unreadable allows, the last {last.name}: {last.reason}."
                f" Remove or mend what {self.run.unreadable} lists, or raise --max-unreadable."
            )

    def diverged(self, what: str, number: int, rate: float, *, peak: float) -> DivergedError:
        """Make the error that says that a number is none any more, at a step, with a rate and the highest rate."""
        kept = f"the best weights so far are in {self.run.best}" if self.progress.best else _NONE_KEPT
        return DivergedError(
            f"At step {number} of {self.steps}, with a learning rate of {rate:.3g}, {what}: training"
            f" stopped, and {kept}. Use a lower --lr than {peak:g}."
        )


_NONE_KEPT = "no weights were worth keeping yet"
