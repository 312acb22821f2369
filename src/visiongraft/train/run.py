"""The folder that a training run leaves behind."""

import csv
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import yaml

from visiongraft.data.loader import Failure
from visiongraft.errors import RunError
from visiongraft.files import draft_of, drafts_of, write_new
from visiongraft.train.held import LOCK


@dataclass(frozen=True)
class RunFolder:
    """Names and files of a run: the one place that knows them.

    Args:
        path: the folder.
        verb: the command that trains in it.
    """

    path: Path
    verb: str = "graft train"

    @property
    def config(self) -> Path:
        """The options of the run, which --config takes."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """A row per epoch."""
        return self.path / "metrics.csv"

    @property
    def best(self) -> Path:
        """The weights with the best validation score, or by `keep` the last ones that were validated."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """The latest state of the training, from which it can go on."""
        return self.path / "last.ckpt"

    @property
    def before(self) -> Path:
        """The state before that one, in case the last one is damaged."""
        return self.path / "before.ckpt"

    @property
    def set_aside(self) -> Path:
        """The best weights of whole epochs, while those of a stopped run, in the middle of one, are in their place."""
        return self.path / "best-of-whole-epochs.safetensors"

    @property
    def coming(self) -> Path:
        """New best weights whose state is not written yet; they take the place of the best once it is."""
        return self.path / "coming.safetensors"

    @property
    def unreadable(self) -> Path:
        """The images that could not be read, if there were any."""
        return self.path / "unreadable.csv"

    @property
    def report(self) -> Path:
        """The page about the run."""
        return self.path / "report.html"

    @property
    def has_begun(self) -> bool:
        """Whether an epoch of it has ended, or weights are kept."""
        return any(each.exists() for each in (self.metrics, self.best, self.coming, self.set_aside))

    def create(self, options: Mapping[str, object]) -> None:
        """Make the folder and write the options of the run, from which `--config` repeats it in another folder.

        Raises:
            RunError: if it cannot be written.
        """
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
        text = yaml.safe_dump(
            plain | {"output": None, "resume": None} if plain else {}, sort_keys=False, allow_unicode=True
        )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_new(self.config, text.encode())  # two runs that start together are told apart here
            self.remove_drafts()
        except FileExistsError as error:
            raise RunError(_TAKEN.format(self.path)) from error
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror}. Give another --output.") from error

    def discard_if_fruitless(self) -> None:
        """Remove what a run wrote that came to nothing.

        So the same --output is free for the next try. What a run does not write is left alone.
        """
        if self.is_fruitless:
            self.discard()

    @property
    def is_fruitless(self) -> bool:
        """Whether there are no weights, no list of unreadable images and no second state."""
        return not any(each.exists() for each in (self.best, self.coming, self.before, self.unreadable))

    def discard(self) -> None:
        """Remove all that a run wrote. What a run does not write is left alone."""
        self.remove_drafts()
        logged = (each for pattern in _LOGGED for each in self.path.glob(pattern))
        states = (self.last, self.before)
        weights = (self.best, self.coming, self.set_aside)
        for each in (*logged, *states, *weights, self.metrics, self.unreadable, self.report, self.config):
            each.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's files are in it, or it is not there
            self.path.rmdir()

    def remove_drafts(self) -> None:
        """Remove what a run that was killed while it wrote has left; nobody else writes into the folder now."""
        for target in (self.config, self.last, self.best, self.coming, self.set_aside, self.report):
            for each in drafts_of(target):
                each.unlink(missing_ok=True)

    def append_metrics(self, row: Mapping[str, float | None]) -> None:
        """Add one row; the first row decides the columns."""
        _append(self.metrics, tuple(row), [tuple(row.values())])

    def write_tables(self, rows: Iterable[Mapping[str, float | None]], failures: Iterable[Failure]) -> None:
        """Write metrics.csv and unreadable.csv anew."""
        self.metrics.unlink(missing_ok=True)
        self.unreadable.unlink(missing_ok=True)
        for row in rows:
            self.append_metrics(row)
        if failures := tuple(failures):
            self.append_unreadable(failures)

    def set_best_aside(self) -> None:
        """Keep a copy of the best weights, before those of an unfinished epoch may take their place."""
        if self.best.exists():
            with draft_of(self.set_aside) as draft:  # half a copy would take the place of the whole at a resume
                shutil.copyfile(self.best, draft)

    def promote(self) -> None:
        """Put the new best weights in their place, if there are any."""
        if self.coming.exists():
            self.coming.replace(self.best)

    def restore(self, rows: Iterable[Mapping[str, float | None]], failures: Iterable[Failure]) -> None:
        """Put the folder back to what it was when a state was written."""
        self.remove_drafts()
        self.write_tables(rows, failures)
        if self.set_aside.exists():
            self.set_aside.replace(self.best)

    def append_unreadable(self, failures: Iterable[Failure]) -> None:
        """Add images that could not be read."""
        _append(self.unreadable, ("file", "error"), [(each.name, each.reason) for each in failures])


_LOGGED = ("events.out.tfevents.*",)
"""What Lightning's logger for TensorBoard writes."""


_TAKEN = "{0} already holds a run. Go on with it by --resume {0}, give another --output, or delete it first."


def plan_run(path: Path | None, *, name: str, parent: Path = Path("runs"), verb: str = RunFolder.verb) -> RunFolder:
    """Choose the folder of a new run; nothing is written before `create`.

    Args:
        path: where, or None for the first free one of `parent`/`name`, `parent`/`name`-2 and so on.
        name: what the run is about.
        parent: the folder of all runs.
        verb: the command that trains in it.

    Raises:
        RunError: if the folder holds a run already, or anything else.
    """
    if path is None:
        path = next(each for each in _candidates(parent, name) if not each.exists())
    run = RunFolder(path, verb)
    if run.config.exists() or run.has_begun:
        raise RunError(_TAKEN.format(path))
    # A run that was killed before it began leaves its lock and drafts.
    if path.is_dir() and set(path.iterdir()) - {path / LOCK, *drafts_of(run.config)}:
        raise RunError(f"{path} is not empty. Give a new or an empty folder as --output.")
    return run


def _candidates(parent: Path, name: str) -> Iterable[Path]:
    yield parent / name
    for number in count(2):
        yield parent / f"{name}-{number}"


def _append(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(columns)
        writer.writerows(rows)
