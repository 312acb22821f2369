"""How much memory there is."""

import os
from contextlib import suppress
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")  # what Linux grants a container


def memory_of_machine() -> int | None:
    """Give the bytes of memory of this machine, or of the container that this process is in; None if unknown."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # no sysconf on Windows
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # no such file elsewhere; "max" is no number
        found.append(int(_CONTROL_GROUP.read_text()))
    return min(found, default=None)
