"""Numbers as a person reads them."""

import math
from collections.abc import Sequence

ABSENT = "–"
"""What stands where there is no number."""

_UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share of [0, 1] as a percentage; what is nearly all or nothing is not rounded to all or nothing."""
    if share is None:
        return ABSENT
    step = 10.0**-digits
    if 0 < share * 100 < step / 2:
        return f"<{step:.{digits}f}%"
    if 100 - step / 2 <= share * 100 < 100:
        return f">{100 - step:.{digits}f}%"
    return f"{share:.{digits}%}"


def count(number: int) -> str:
    """Write a count with its thousands apart."""
    return f"{number:,}"


def short_count(number: int) -> str:
    """Write a large count with three digits: 1.37 M, 79.5 M, 4.09 G."""
    rounded = float(f"{number:.3g}")  # before the unit is chosen: 999,999 is 1.00 M
    for unit, letter in _UNITS:
        if rounded >= unit:
            value = rounded / unit
            return f"{value:.{max(0, 2 - int(math.log10(value)))}f} {letter}"
    return str(number)


def file_size(size: int) -> str:
    """Write a number of bytes: 5.51 MB is 5,510,000 of them."""
    text = short_count(size)
    return f"{text}B" if " " in text else f"{text} B"


def duration(seconds: float) -> str:
    """Write a time with its two largest units: 48 s, 2 min 59 s, 3 h 12 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size_of(grid: Sequence[int]) -> str:
    """Write height and width."""
    return f"{grid[0]} × {grid[1]}"
