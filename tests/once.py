"""Files that are made once for all tests, in whichever of pytest's processes these run."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

Once = Callable[[str, Callable[[Path], None]], Path]
"""Gives the folder of a name, in which a function made files when somebody first asked. Nobody changes them."""


def made_once(base: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Give a folder, made by the first process that asks for it while the others wait."""
    place, done = base / name, base / f"{name}, done"
    with (base / f"{name}, held").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)  # of somebody who failed
            place.mkdir()
            make(place)
            done.touch()
    return place
