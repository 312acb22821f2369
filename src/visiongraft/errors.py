"""What a user can get wrong, each said in one line: what came, what was expected, what to do."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class GraftError(ValueError):
    """Anything a user can cause and mend. The command line prints it as one line and exits with 2."""


class SpecError(GraftError):
    """A network description that cannot be built, or a document that is not one."""


class UnknownWord(SpecError):
    """A word in a description that the vocabulary does not have."""


class UnknownModel(GraftError):
    """A name that is not in the zoo."""


class SurgeryError(GraftError):
    """A graft that a network cannot take, or a network that cannot be followed."""


class ImageSizeError(GraftError):
    """An image, or a feature map, whose shape the network cannot take."""


class DataError(GraftError):
    """A data set, or a file of it, that cannot be read as images with labels."""


class WeightsError(GraftError):
    """A weight file that is damaged, of another format, or of another network."""


class RunError(GraftError):
    """A run folder that cannot be written, or already holds a run."""


class ToldToEndError(RunError):
    """A run whose process was told to end by the system, and which has saved its state."""


class DivergedError(GraftError):
    """A loss that is no longer a finite number."""


class MissingExtra(GraftError):
    """An optional library that this work needs and that is not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names are spelt like `name`, as a sentence to put into an error.

    Args:
        name: what the user wrote.
        known: every name that would have been right.

    Returns:
        " Did you mean 'a' or 'b'?" with three names at the most, or an empty string where nothing is close.
    """
    word = name.lstrip("-")
    dashes = name[: len(name) - len(word)]  # all options begin with them, and are not alike for that
    close = get_close_matches(word.lower(), [each.removeprefix(dashes) for each in known], n=3, cutoff=0.5)
    if not close:
        return ""
    return " Did you mean " + " or ".join(repr(dashes + each) for each in close) + "?"


def counted(number: int, noun: str) -> str:
    """Write a number of things, with thousands apart: 1 image, 2 images, 1,000 classes, 3 categories."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun}"


def printable(text: str) -> str:
    """Write what would break the line, or steer the terminal, as Python escapes it: file names may hold anything."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


_SHORTAGE = re.compile("out of memory|enough memory|allocate memory|STATUS_ALLOC_FAILED")
"""What PyTorch's errors hold where GPU, CPU or cuBLAS found no memory."""


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error says that the memory does not suffice; PyTorch has no class for all of these."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_SHORTAGE.search(str(error))))
