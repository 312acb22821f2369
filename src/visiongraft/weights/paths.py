"""Where weights lie, as users say it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from visiongraft.errors import WeightsError


def path_of(given: object, kind: Literal["file", "folder"] = "file") -> Path:
    """Give the path of weights, once it is known to be one.

    Args:
        given: what a user gave for it.
        kind: what lies there, or is to.

    Raises:
        WeightsError: if it is of another type, or empty, or nothing can be called so.
    """
    if not isinstance(given, str | os.PathLike):
        inside = isinstance(given, Mapping)
        remedy = "A state dict goes through visiongraft.convert." if inside else f"Give the path of a {kind}."
        raise WeightsError(f"Weights are told by the path of a {kind}, not by a {type(given).__name__}. {remedy}")
    path = os.fspath(given)
    if not path:
        raise WeightsError(f"The path of the weights is empty. Give that of a {kind}.")
    if "\0" in path:
        raise WeightsError(f"No {kind} can be called {path!r}, with a NUL in it. Give the path of a {kind}.")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise WeightsError(f"The path {path!r} is no UTF-8, which weights need. Rename that {kind}.") from None
    return Path(path)
