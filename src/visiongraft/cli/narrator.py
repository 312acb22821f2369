"""Tells a person how a training or a comparison goes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Self

from visiongraft.cli.progress import progress_bar
from visiongraft.compare.folder import Failed, Result
from visiongraft.compare.plan import Entry, Plan
from visiongraft.errors import counted, printable
from visiongraft.train.state import Metrics


class Speaker:
    """Prints lines, and shows a bar where somebody watches.

    Args:
        task: what the bar is about at first.
    """

    def __init__(self, task: str) -> None:
        self._bar = progress_bar()
        self._task = self._bar.add_task(task, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._bar.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


class Narrator(Speaker):
    """A listener to a training that prints a line per epoch, and shows a bar where somebody watches.

    Args:
        notes: about the data, printed with the first epoch: a refusal before it is one line and no more.
        score: says in words what a row of a validated epoch scored.
    """

    def __init__(self, notes: Iterable[str], *, score: Callable[[Metrics], str] | None = None) -> None:
        super().__init__("training")
        self._score = score or _score_of_a_classifier
        self._notes = list(notes)

    def go_on(self, done: int, steps: int, notes: Sequence[str]) -> None:
        """Print where a run goes on."""
        left = f"The run goes on after step {done} of {steps}." if done < steps else "The run is finished already."
        self.say(left)
        for note in notes:
            self.say(note)

    def step(self, done: int, steps: int, loss: float) -> None:
        """Advance the bar."""
        self._bar.update(self._task, completed=done, total=steps, description=f"loss {loss:.3f}")

    def epoch(self, row: Metrics) -> None:
        """Print what an epoch gave."""
        while self._notes:
            self.say(self._notes.pop(0))
        validated = any(name.startswith("val_") and value is not None for name, value in row.items())
        score = f"  {self._score(row)}" if validated else ""
        self._bar.console.print(
            f"epoch {row['epoch']:3.0f}  loss {row['train_loss']:.3f}{score}"
            f"  {row['train_images_per_second']:.0f} images/s",
            highlight=False,
        )


def _score_of_a_classifier(row: Metrics) -> str:
    return f"val loss {row['val_loss']:.3f}  val top-1 {row['val_top1']:.2%}"


class Teller(Speaker):
    """A witness of a comparison that prints a line for each run, and shows a bar where somebody watches.

    Args:
        notes: about the data, printed before the first run.
    """

    def __init__(self, notes: tuple[str, ...]) -> None:
        super().__init__("")
        self._notes = notes
        self._runs, self._number = 0, 0

    def timing(self, name: str) -> None:
        """Show which network is timed."""
        self._bar.update(self._task, description=f"timing {name}")

    def planned(self, plan: Plan, finished: int) -> None:
        """Print the plan, and what is finished of it."""
        for note in self._notes:
            self.say(note)
        self._runs, self._number = len(plan), finished
        width = max(len(each.name) for each in plan.entries)
        for each in plan.entries:
            pace = "" if each.epoch_seconds is None else f", about {each.epoch_seconds:.1f} s each"
            self.say(
                f"{each.name:{width}}  {counted(len(plan.seeds), 'run')} of {counted(each.epochs, 'epoch')}{pace}"
            )
        if finished:
            self.say(f"{finished} of {counted(len(plan), 'run')} finished before")

    def begun(self, entry: Entry, seed: int) -> None:
        """Show which run it is."""
        self._number += 1
        words = f"{entry.name}, seed {seed}, run {self._number} of {self._runs}"
        self._bar.update(self._task, description=words, completed=0, total=None)

    def step(self, done: int, steps: int) -> None:
        """Advance the bar."""
        self._bar.update(self._task, completed=done, total=steps)

    def note(self, text: str) -> None:
        """Print it."""
        self.say(text)

    def ended(self, result: Result | Failed) -> None:
        """Print what a run gave."""
        head = f"{self._number:3d} of {self._runs}  {result.model}, seed {result.seed}: "
        if isinstance(result, Failed):
            self.say(f"{head}diverged. {result.reason}")
        else:
            self.say(f"{head}top-1 {result.top1:.2%} after {result.seconds:.0f} s")
