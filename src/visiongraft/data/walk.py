"""How folders are searched for images: the one set of rules, for data sets and for predictions."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from visiongraft.data.images import EXTENSIONS
from visiongraft.errors import DataError

Identity = tuple[int, int]
"""Device and inode: what a folder is, by whatever links it was reached."""


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted by name, without those that are passed over."""
    above = _identities((folder, *folder.resolve().parents))
    found, _ = _list(folder)
    return sorted((each for each in found if not _identities([each]) & above), key=lambda each: each.name)


def images_under(folder: Path) -> tuple[list[str], Counter[str]]:
    """List the image files under a folder, and count the other files by the ends of their names.

    Links are followed, but never back into a folder that one is already inside: so a circle of links ends, and shows
    no image twice. Hidden files and folders (a leading dot), and what macOS puts into zip files, are passed over.

    Args:
        folder: searched to any depth.

    Returns:
        Paths relative to `folder`, with forward slashes, in natural order: 2.png before 10.png, the files of a folder
        before those of the folders in it.

    Raises:
        DataError: if a folder cannot be listed, where skipping it would lose images without a word.
    """
    images: list[str] = []
    others: Counter[str] = Counter()
    waiting = [(folder, "", _identities((folder, *folder.resolve().parents)))]
    while waiting:
        place, below, inside = waiting.pop()
        folders, names = _list(place)
        known = [name for name in names if Path(name).suffix.lower() in EXTENSIONS]
        images += [below + name for name in sorted(known, key=_natural)]
        others.update(Path(name).suffix.lower() for name in names if Path(name).suffix.lower() not in EXTENSIONS)
        for each in sorted(folders, key=lambda each: _natural(each.name), reverse=True):  # the last one is taken first
            here = _identities([each])
            if not here & inside:
                waiting.append((each, f"{below}{each.name}/", inside | here))
    return images, others


def _list(folder: Path) -> tuple[list[Path], list[str]]:
    """List the folders in a folder, and the names of the files."""
    folders: list[Path] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if _is_folder(entry):
                    folders.append(folder / entry.name)
                else:
                    files.append(entry.name)
    except OSError as error:
        _cannot_list(error)
    return folders, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: as a file, it is named when it cannot be read
        return False


def _identities(folders: Iterable[Path]) -> frozenset[Identity]:
    """Tell what folders are; one that cannot be reached is none that the search can come to."""
    found = []
    for folder in folders:
        with suppress(OSError):
            status = folder.stat()
            found.append((status.st_dev, status.st_ino))
    return frozenset(found)


def _cannot_list(error: OSError) -> NoReturn:
    """Say which folder cannot be searched."""
    raise DataError(
        f"Cannot list the folder {error.filename!r}: {error.strerror}. Make it readable, or move it away."
    ) from None


def _natural(name: str) -> tuple[list[str | int], str]:
    """Give what names are sorted by: the numbers in them count as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
