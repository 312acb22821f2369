"""What ends a training in the middle, as a kill would."""

from collections.abc import Sequence


class Killed(BaseException):
    """Stands for the end of the process: nobody catches it."""


class Killer:
    """Ends the process after a step."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.heard: list[tuple[int, int, tuple[str, ...]]] = []

    def go_on(self, done: int, steps: int, notes: Sequence[str]) -> None:
        self.heard.append((done, steps, tuple(notes)))

    def step(self, done: int, steps: int, loss: float) -> None:
        if done == self.after:
            raise Killed

    def epoch(self, row: dict) -> None:
        pass
