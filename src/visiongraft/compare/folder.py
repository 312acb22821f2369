"""The folder of a comparison: the plan, the runs, and what came of each."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visiongraft.compare.plan import FORMAT, Plan
from visiongraft.errors import RunError
from visiongraft.files import write_whole
from visiongraft.train.held import LOCK, held
from visiongraft.train.run import RunFolder


@dataclass(frozen=True, eq=False)
class Result:
    """What a finished run gave.

    Args:
        model: the network's name.
        seed: of the run.
        epochs: how long it was; the weights of the last one are scored.
        seconds: of training, validation included.
        top1: share of the validation images named rightly, in [0, 1].
        loss: mean cross-entropy, in nats.
        indices: the place of each image in its set.
        labels: the true class of each.
        predictions: the most probable class of each.
    """

    model: str
    seed: int
    epochs: int
    seconds: float
    top1: float
    loss: float
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]


@dataclass(frozen=True)
class Failed:
    """A run whose loss was no number any more.

    Args:
        model: the network's name.
        seed: of the run.
        reason: where and how it diverged.
    """

    model: str
    seed: int
    reason: str


_ARRAYS = ("indices", "labels", "predictions")


@dataclass(frozen=True)
class ComparisonFolder:
    """Names and files of a comparison: the one place that knows them.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def plan(self) -> Path:
        """What is compared, and for how long each network trains."""
        return self.path / "plan.json"

    @property
    def table(self) -> Path:
        """A row per network."""
        return self.path / "results.csv"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    def run(self, model: str, seed: int) -> RunFolder:
        """Give the folder of a run."""
        return RunFolder(self.path / "runs" / model / str(seed))

    def result(self, model: str, seed: int) -> Path:
        """Give the file that a run has once it is finished, and not before."""
        return self.run(model, seed).path / "result.json"

    def read_plan(self) -> Plan | None:
        """Give the plan that was written down, or None in a new or empty folder.

        Raises:
            RunError: if something else lies there, or the plan cannot be read.
        """
        try:
            text = self.plan.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            if self.path.is_dir() and any(each.name != LOCK for each in self.path.iterdir()):
                raise RunError(f"{self.path} holds no comparison, and is not empty. Give another --output.") from None
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.plan} cannot be read: {error}. Give another --output.") from error
        try:
            return Plan.from_json(text)
        except RunError as error:
            raise RunError(
                f"{self.plan} is damaged, or of another version: {error}. Give another --output."
            ) from error

    def write_plan(self, plan: Plan) -> None:
        """Write the plan down; nothing has been run before.

        Raises:
            RunError: if it cannot be written.
        """
        self._write(self.plan, plan.to_json())

    def read_result(self, model: str, seed: int) -> Result | Failed | None:
        """Give what a run gave, or None where it is not finished.

        Raises:
            RunError: if it cannot be read.
        """
        path = self.result(model, seed)
        try:
            return _result(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged: {error}. Delete it, and this run is repeated.") from error

    def write_result(self, result: Result | Failed) -> None:
        """Write what a run gave, whole or not at all: so a finished run is told from a killed one.

        Raises:
            RunError: if it cannot be written.
        """
        plain = {name: getattr(result, name) for name in result.__dataclass_fields__}
        plain |= {name: plain[name].tolist() for name in _ARRAYS if name in plain}
        self._write(self.result(result.model, result.seed), json.dumps({"format": FORMAT, **plain}) + "\n")

    def write_table(self, text: str) -> None:
        """Write the table.

        Raises:
            RunError: if it cannot be written.
        """
        self._write(self.table, text)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others out of the folder, as far as the system can: what is killed lets go of it.

        Raises:
            RunError: if another process is at work in it, something else lies there, or it cannot be written.
        """
        self.read_plan()  # nothing is written beside what is not ours
        with held(self.path, by="graft compare"):
            yield

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise RunError(
                f"{path} cannot be written: {error.strerror}. Make room, or give another --output."
            ) from error


def _result(document: dict[str, Any]) -> Result | Failed:
    found = dict(document)
    if (form := found.pop("format", None)) != FORMAT:
        raise ValueError(f"its format is {form!r}, and {FORMAT!r} was expected")
    if "reason" in found:
        return Failed(**found)
    return Result(**found | {name: np.array(found[name], np.int64) for name in _ARRAYS})
