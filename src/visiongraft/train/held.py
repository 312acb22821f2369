"""One process at a time works in a folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

from visiongraft.errors import RunError

LOCK = ".visiongraft.lock"
"""The file whose lock says that somebody is at work in its folder; empty, and gone when its holder ends."""


@contextmanager
def held(folder: Path, *, by: str) -> Iterator[None]:
    """Keep other processes out of a folder, which is made where it is not there yet.

    The system lets go of the lock when the process dies, however that happens; processes that it started do not hold
    it. On a network disk this is as good as the disk's own locks: NFS and Lustre have them where they are mounted with
    them (not `nolock`, and `flock`). Where there are none, and on Windows, nobody is kept out.

    Args:
        folder: the folder.
        by: what works in it, as "graft train".

    Raises:
        RunError: if another process is at work in it, or it cannot be written.
    """
    own = folder.resolve()
    try:
        if own in _HERE:
            raise BlockingIOError
        file = _locked(folder)
    except BlockingIOError as error:
        raise RunError(
            f"Another `{by}` is at work in {folder}. Wait until it ends, or end it; or give another --output."
        ) from error
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror}. Give another --output.") from error
    _HERE.add(own)
    with file:
        try:
            yield
        finally:
            _HERE.remove(own)
            with suppress(OSError):
                (folder / LOCK).unlink()  # while it is held: whoever opened it meanwhile sees that it is gone
                folder.rmdir()  # unless something came of it


_HERE: set[Path] = set()
"""What this process holds. The system's locks keep processes apart, and not the parts of one."""


def _locked(folder: Path) -> BufferedWriter:
    """Make a folder and lock its file.

    Raises:
        BlockingIOError: if another process has locked it.
        OSError: if it cannot be written.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # whoever was here before us has removed it, and ended
            file = (folder / LOCK).open("ab")
            try:
                _lock(file)
                if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()


def _lock(file: BufferedWriter) -> None:
    """Lock a file for this process, and not for those that it forks, as far as the system can.

    Raises:
        BlockingIOError: if another process has locked it.
    """
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows has none
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise BlockingIOError(*error.args) from error
