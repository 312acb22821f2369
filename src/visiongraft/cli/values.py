"""Values that several verbs take, from the form in which a user writes them."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from visiongraft.errors import GraftError, WeightsError
from visiongraft.kernels.types import Grid
from visiongraft.train.devices import workers_for
from visiongraft.train.run import RunFolder
from visiongraft.weights.store import Trained, read

ImageSize = int | str
"""How a user writes the size of an image: 224, or 256x128 for height and width."""

_LARGEST = 8192  # pixels a side; beyond, one image alone fills the memory of most machines


def parse_image(text: ImageSize | None) -> Grid | None:
    """Read an image size: 224 for a square, 256x128 for height and width.

    Raises:
        GraftError: if it is neither.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", str(text).strip().lower())
    if not found or int(found[1]) == 0 or found[2] == "0":
        raise GraftError(f"--image takes pixels, as 224 or as 256x128 for height and width, and got {text!r}.")
    height, width = int(found[1]), int(found[2] or found[1])
    if max(height, width) > _LARGEST:
        raise GraftError(f"--image takes at most {_LARGEST} pixels a side, and got {text}.")
    return height, width


def read_weights(path: Path, image: ImageSize | None) -> Trained:
    """Read a weight file, or the best one of a run folder."""
    size = parse_image(image)
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a path is too long or not to be entered
        return read(path, image=size)
    best = RunFolder(path).best
    if not best.exists():
        raise WeightsError(f"{path} holds no {best.name}. Give a run folder of `graft train`, or a .safetensors file.")
    return read(best, image=size)


def check_positive(number: int, option: str) -> None:
    """Refuse what counts nothing.

    Raises:
        GraftError: if it is below 1.
    """
    if number < 1:
        raise GraftError(f"{option} must be at least 1, not {number}.")


def check_workers(count: Literal["auto"] | int) -> None:
    """Refuse a number of processes that is none, before the data is searched.

    Raises:
        GraftError: if it is negative.
    """
    workers_for(count, in_memory=True)


def check_writable(path: Path, option: str, *, kind: Literal["file", "folder"]) -> None:
    """See, before any work, that a file or a folder can be written; nothing is left behind.

    Args:
        path: what is to be written. Missing folders above a folder will be made, those above a file will not.
        option: what the user calls it.
        kind: what it is to be.

    Raises:
        GraftError: if it cannot.
    """
    problem = ""
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()  # refuses what no path can be, such as a name that is too long
        if path.exists() and path.is_dir() != (kind == "folder"):
            problem = f"is a {'folder' if path.is_dir() else 'file'}, and a {kind} is to be written"
        else:
            place = _where_written(Path(os.path.realpath(path)), kind)
            if place.is_file() or not place.exists():
                problem = f"cannot be written: {str(place)!r} is no folder"
            elif not os.access(place, os.W_OK):
                problem = f"cannot be written: {str(place)!r} does not permit it"
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
    if problem:
        raise GraftError(f"{option} {str(path)!r} {problem}. Give another {option}.")


def _where_written(path: Path, kind: Literal["file", "folder"]) -> Path:
    """Give what has to be writable for a file or folder to be written."""
    if path.exists() and not path.is_file():  # a folder, or a device such as /dev/stdout
        return path
    return path.parent if kind == "file" else next(each for each in path.parents if each.exists())
