"""Tells a person how a training goes."""

from collections.abc import Callable, Iterable, Sequence

from visiongraft.cli.progress import progress_bar
from visiongraft.train.state import Metrics


class Narrator:
    """A listener to a training that prints a line per epoch, and shows a bar where somebody watches.

    Args:
        notes: about the data, printed with the first epoch: a refusal before it is one line and no more.
        score: says in words what a row of a validated epoch scored.
    """

    def __init__(self, notes: Iterable[str], *, score: Callable[[Metrics], str] | None = None) -> None:
        self._score = score or _score_of_a_classifier
        self._notes = list(notes)
        self._bar = progress_bar()
        self._task = self._bar.add_task("training", total=None)

    def __enter__(self) -> "Narrator":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def go_on(self, done: int, steps: int, notes: Sequence[str]) -> None:
        """Print where a run goes on."""
        left = f"The run goes on after step {done} of {steps}." if done < steps else "The run is finished already."
        self._print(left)
        for note in notes:
            self._print(note)

    def step(self, done: int, steps: int, loss: float) -> None:
        """Advance the bar."""
        self._bar.update(self._task, completed=done, total=steps, description=f"loss {loss:.3f}")

    def epoch(self, row: Metrics) -> None:
        """Print what an epoch gave."""
        while self._notes:
            self._print(self._notes.pop(0))
        validated = any(name.startswith("val_") and value is not None for name, value in row.items())
        score = f"  {self._score(row)}" if validated else ""
        self._bar.console.print(
            f"epoch {row['epoch']:3.0f}  loss {row['train_loss']:.3f}{score}"
            f"  {row['train_images_per_second']:.0f} images/s",
            highlight=False,
        )

    def _print(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _score_of_a_classifier(row: Metrics) -> str:
    return f"val loss {row['val_loss']:.3f}  val top-1 {row['val_top1']:.2%}"
