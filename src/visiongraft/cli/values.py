"""Values that several verbs take, from the form in which a user writes them."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from visiongraft.errors import GraftError, WeightsError, counted, nearest
from visiongraft.families.zoo import list_models
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import RGB
from visiongraft.spec import LARGEST_IMAGE
from visiongraft.surgery.foreign import DOORS, LIBRARIES, Blueprint
from visiongraft.train.devices import workers_for
from visiongraft.train.run import RunFolder
from visiongraft.weights.models import load_pretrained
from visiongraft.weights.sources import WEIGHT_FILES, names_weights
from visiongraft.weights.store import Trained, read

ImageSize = int | str
"""How a user writes the size of an image: 224, or 256x128 for height and width."""


def parse_image(text: ImageSize | None, option: str = "--image") -> Grid | None:
    """Read an image size: 224 for a square, 256x128 for height and width.

    Args:
        text: what the user wrote.
        option: behind which option.

    Raises:
        GraftError: if it is neither.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", str(text).strip().lower())
    if not found or int(found[1]) == 0 or found[2] == "0":
        raise GraftError(f"{option} takes pixels, as 224 or as 256x128 for height and width, and got {text!r}.")
    height, width = int(found[1]), int(found[2] or found[1])
    if max(height, width) > LARGEST_IMAGE:
        raise GraftError(f"{option} takes at most {LARGEST_IMAGE} pixels a side, and got {text}.")
    return height, width


def check_share(share: float, *, of: str) -> None:
    """Check the value of an option that is a share.

    Raises:
        GraftError: if it is outside [0, 1]; it names the option `of`.
    """
    if not 0.0 <= share <= 1.0:
        raise GraftError(f"{of} must be in [0, 1], not {share}.")


def parse_rgb(text: str, option: str) -> RGB:
    """Read three numbers between commas.

    Raises:
        GraftError: if they are none; it names the option.
    """
    try:
        red, green, blue = (float(each) for each in text.split(","))
    except ValueError:
        raise GraftError(
            f"{option} takes a number for each of red, green and blue, as 0.49,0.48,0.45, and got {text!r}."
        ) from None
    return red, green, blue


def find_weights(
    weights: Path, image: ImageSize | None, *, weights_dir: Path | None = None, offline: bool = False
) -> Trained:
    """Read a weight file, the best one of a run folder, or published weights, which are fetched unless they are kept.

    Args:
        weights: a path; where nothing lies there, a name of a network, with a tag or without.
        image: size in pixels to resample position tables for; by default that of the weights.
        weights_dir: where published weights are kept.
        offline: fetch nothing.

    Raises:
        GraftError: if `image` is no size.
        UnknownModel: if no published weights have that name.
        WeightsError: if there are no such weights, or they cannot be fetched or read.
        ImageSizeError: if the network cannot take `image`.
    """
    size = parse_image(image)
    if not os.path.lexists(weights) and _may_be_a_name(str(weights)):
        return fetched(str(weights), image=size, weights_dir=weights_dir, offline=offline)
    return read(best_of(weights), image=size)


def check_takes_rgb(spec: Blueprint, *, model: str | None = None) -> None:
    """Refuse, before any image is read, a network of other channels than those in which the verbs read images.

    Args:
        spec: the network.
        model: what the user said that its weights are of, which a file of others does not tell by itself.

    Raises:
        GraftError: if it takes another number than 3.
    """
    if spec.in_chans != _RGB:
        named = f"{model!r}, " if model else ""
        raise GraftError(
            f"{spec.name} takes images of {counted(spec.in_chans, 'channel')}, and images are read as red, green and"
            f" blue here. In Python, visiongraft.create_model({named}weights=FILE, in_chans=3) fits it, and"
            " visiongraft.save writes it."
        )


_RGB = 3


def _may_be_a_name(text: str) -> bool:
    """Tell whether what is no path is a network's name, where it does not look like a path.

    Raises:
        WeightsError: if it looks like a name and is none.
    """
    if text.partition(":")[0] in {*LIBRARIES, *DOORS}:
        return True
    if names_weights(text) or os.sep in text or text.lower().endswith(WEIGHT_FILES):
        return names_weights(text)
    near = nearest(text.partition(".")[0], list_models())
    raise WeightsError(
        f"{text!r} is no file, no run folder and no network.{near} Give one of them; `graft list` shows all networks."
    )


def fetched(name: str, *, image: Grid | None, weights_dir: Path | None, offline: bool) -> Trained:
    """Give published weights, with arguments and errors as in `load_pretrained`. Ctrl-C leaves no half of a file."""
    with raising_on_interrupt():
        return load_pretrained(name, image=image, weights_dir=weights_dir, offline=offline)


@contextmanager
def raising_on_interrupt() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt, so that what is half-written is removed: elsewhere it ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def best_of(path: Path) -> Path:
    """Give the best weight file of a run folder, or the file itself.

    Raises:
        WeightsError: if the folder holds none, or the file is what a run keeps of its training.
    """
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a path is too long or not to be entered
        check_no_training_state(path)
        return path
    best = RunFolder(path).best
    if not best.exists():
        raise WeightsError(f"{path} holds no {best.name}. Give a run folder of `graft train`, or a .safetensors file.")
    return best


def check_no_training_state(path: Path) -> None:
    """Refuse what a run keeps of its training. A file of that name alone, in no run folder, may be anybody's.

    Raises:
        WeightsError: if it is that.
    """
    run = RunFolder(path.parent)
    if path.name == run.last.name and os.path.lexists(run.config) and os.path.lexists(run.metrics):
        remedy = f"There is no {run.best.name} beside it, so nothing to use or to convert: train again."
        if os.path.lexists(run.best):
            remedy = f"Its weights are in {run.best}, which `graft eval`, `predict` and `train --weights` take."
        raise WeightsError(f"{path} is what `graft train` keeps of its training. {remedy}")


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
