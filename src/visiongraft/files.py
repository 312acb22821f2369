"""Files that are there whole or not at all, and what reading one that is not raises."""

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, RuntimeError, AssertionError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)
"""What numpy, zipfile, Pillow and torchvision raise where files are damaged, or are not what their names promise."""


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet. Of several who do so at once, one succeeds; a kill leaves no half of it.

    Where the file system has no links, as FAT has none, a kill may leave an empty file.

    Args:
        path: the target; its folder exists.
        content: all of it.

    Raises:
        FileExistsError: if it is there already.
        OSError: if it cannot be written.
    """
    draft = _draft(path)
    try:
        draft.write_bytes(content)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            raise
        except OSError:
            with path.open("xb") as file:
                file.write(content)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the target and rename, so that a kill or a full disk leaves the previous file.

    Args:
        path: the target; its folder exists.
        content: all of it.

    Raises:
        OSError: if it cannot be written; nothing new is left behind then.
    """
    with draft_of(path) as draft:
        draft.write_bytes(content)


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Give a path beside the target to write to. At the end it takes the target's place, or on an error it goes.

    Args:
        path: the target; its folder exists.

    Raises:
        OSError: if it cannot be written; nothing new is left behind then.
    """
    draft = _draft(path)
    try:
        mode = draft.stat().st_mode  # of every new file here; a library may make its own, for nobody else to read
        yield draft
        draft.chmod(mode)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:  # Ctrl-C as well
        draft.unlink(missing_ok=True)
        raise


def _draft(path: Path) -> Path:
    """Make a file beside another, under a name that nobody has."""
    draft = path.with_name(f".{path.name[:_LONGEST]}.{token_hex(_RANDOM)}")
    draft.open("x").close()  # nobody else's and no link: other threads and users may write beside the target as well
    return draft


def drafts_of(path: Path) -> list[Path]:
    """Give the drafts of a file that lie beside it, as somebody who was killed leaves them.

    Args:
        path: the target, whether it is there or not.
    """
    own = re.compile(re.escape(f".{path.name[:_LONGEST]}.") + f"[0-9a-f]{{{2 * _RANDOM}}}")
    return [each for each in path.parent.iterdir() if own.fullmatch(each.name)]


_RANDOM = 8  # bytes in the name of a draft, so that no two have the same
_LONGEST = 50  # characters of a name that its draft has as well: file systems take 255 bytes, and a draft has more
