"""Where runs go, and what they are called."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from visiongraft.data import flowers
from visiongraft.data.folder import TRAIN_NAME, VAL_NAMES
from visiongraft.data.packing import PREFIX
from visiongraft.errors import DataError, GraftError
from visiongraft.train.crew import is_a_restart, leads, may_be_restarted
from visiongraft.train.run import RunFolder, plan_run

RUNS = Path("runs")
"""Where runs go that were given no folder."""


def known_run(output: Path | None, resume: Path | None, *, verb: str = RunFolder.verb) -> RunFolder | None:
    """Give the folder of a run of a verb that may be there already; None for a new one.

    Raises:
        GraftError: if there are two, or none where one is needed.
    """
    if resume is not None and output is not None:
        raise GraftError("--resume and --output are two folders for one run. Give --resume alone to go on with a run.")
    if output is None and resume is None and may_be_restarted():
        raise GraftError(
            "A run that torchrun (--max-restarts) or SLURM starts again has to know its folder. Give --output."
        )
    folder = resume or (output if is_a_restart() else None)
    return RunFolder(folder, verb) if folder else None


def folder_of(known: RunFolder | None, output: Path | None, name: str, *, verb: str = RunFolder.verb) -> RunFolder:
    """Choose the folder of a run; nothing is written.

    Processes beside the first one are told its folder, which may be there by now.

    Args:
        known: the one that may be there already.
        output: the one that is to be, where the user says it.
        name: what the run is about.
        verb: the command that trains in it.

    Raises:
        RunError: if a new one is not free.
    """
    return known or (plan_run(output, name=name, parent=RUNS, verb=verb) if leads() else RunFolder(RUNS, verb))


@contextmanager
def saying_where_it_began(data: str | None, resume: Path | None) -> Iterator[None]:
    """Say, where the data of a run that goes on is not found, that the run knows it by a path from some other folder.

    Raises:
        DataError: with that added.
    """
    try:
        yield
    except DataError as error:
        if resume is None or data is None or Path(data).is_absolute() or Path(data).exists():
            raise
        raise DataError(
            f"{error} The run was given --data {data} in the folder where it began: go there, or give --data beside"
            " --resume."
        ) from error


@contextmanager
def pointing_to_detectors(data: str | None) -> Iterator[None]:
    """Say, of data that is none of classes, that it is one of boxes, if that is what it is.

    Raises:
        DataError: with that added.
    """
    try:
        yield
    except DataError as error:
        if data is None or not holds_boxes(data):
            raise
        raise DataError(
            f"{error} It holds boxes of objects: `graft detect train --data {data}` learns these."
        ) from error


def check_are_classes(names: Sequence[str], data: str | None) -> None:
    """Refuse parts of data with boxes that would be taken for classes: train/ and valid/ with images and a json each.

    Raises:
        DataError: if the classes are such parts.
    """
    if data is not None and set(names) <= {TRAIN_NAME, *VAL_NAMES} and holds_boxes(data):
        raise DataError(
            f"{data!r} has no classes, but {' and '.join(map(repr, names))} with boxes of objects. `graft detect train"
            f" --data {data}` learns these."
        )


def holds_boxes(data: str) -> bool:
    """Tell whether what a user named is a folder with annotations of objects, as far as that is plain."""
    from visiongraft.detect.opening import is_detection  # which few ask for

    try:
        return os.path.isdir(data) and is_detection(data)  # noqa: PTH112 - Path.is_dir raises where a name is too long
    except DataError:
        return False


def short_name(data: str | None) -> str:
    """Name a run after its data: the last part of a path, and no longer than a file name may be."""
    path = Path((data or flowers.NAME).removeprefix(PREFIX))
    if path.name in {"", ".."}:  # as in --data . or --data /
        path = Path(os.path.realpath(path))
    return path.name.removesuffix(".npz")[:64] or "data"
