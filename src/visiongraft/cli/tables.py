"""Tables that a verb writes into a file that the user names."""

import os
from collections.abc import Iterable, Sequence
from csv import writer
from io import StringIO
from pathlib import Path

from visiongraft.errors import GraftError
from visiongraft.files import write_whole


def write_table(path: Path, rows: Iterable[Sequence[object]], option: str) -> None:
    """Write rows as CSV, whole or not at all where the target is a file.

    Args:
        path: the target.
        rows: the names of the columns first.
        option: what the user calls the path.

    Raises:
        GraftError: if it cannot be written.
    """
    text = StringIO()
    writer(text).writerows(rows)
    content = text.getvalue().encode("utf-8", "surrogateescape")
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():  # such as /dev/stdout, to which nothing can be moved
            target.write_bytes(content)
        else:
            write_whole(target, content)
    except OSError as error:
        raise GraftError(
            f"{option} {str(path)!r} cannot be written: {error.strerror}. Give another {option}."
        ) from error
