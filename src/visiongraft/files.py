"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the target and rename, so that a kill or a full disk leaves the previous file.

    Args:
        path: the target; its folder exists.
        content: all of it.

    Raises:
        OSError: if it cannot be written; nothing new is left behind then.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:  # Ctrl-C as well
        draft.unlink(missing_ok=True)
        raise
