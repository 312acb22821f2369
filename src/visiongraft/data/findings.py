"""What was found wrong with a data set, whatever kind of data it is: a fact, a remedy, and the images concerned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Severity = Literal["grave", "warning", "note"]
"""How much a finding matters.

"grave" is what ends a training or makes its score mean something else; "warning" is what costs some of the score or of
the time, and "note" what one should know and may leave.
"""

SEVERITIES: tuple[Severity, ...] = ("grave", "warning", "note")
"""From the worst on."""

GRAVE_SHARE = 0.01
"""Above this share of the images, faults of single images are grave together: more unreadable ones end a training."""

Places = NDArray[np.int64]
"""Places of images in a data set: those to learn from come first, and those to be scored on behind them."""

NO_PLACES: Places = np.zeros(0, np.int64)
"""Where a finding is about no image in particular."""


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing that was found.

    Args:
        kind: one word that programs may ask for, such as "unreadable".
        severity: how much it matters.
        what: what was found, as a sentence without its full stop.
        remedy: what to do, likewise.
        places: the images concerned; empty where it is about the whole set.
        twins: for each of `places` the image that it is a copy of, or empty.
        details: more about some of the images, by place.
    """

    kind: str
    severity: Severity
    what: str
    remedy: str
    places: Places = field(default_factory=lambda: NO_PLACES)
    twins: Places = field(default_factory=lambda: NO_PLACES)
    details: Mapping[int, str] = field(default_factory=dict)


def severity_of(number: int, total: int) -> Severity:
    """Judge a fault of single images by how many have it: "grave" above `GRAVE_SHARE`, else "warning".

    One image is always a warning. A training counts the images that it could not read in the same way.
    """
    return "grave" if number > max(1.0, GRAVE_SHARE * total) else "warning"


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings, the grave ones first, and leave those of one severity in their order."""
    return tuple(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))


def named(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """Write how many classes were chosen of how many, and the names of the first three."""
    first = [repr(names[place]) for place in np.flatnonzero(chosen)[:3]]
    more = ", ..." if chosen.sum() > len(first) else ""
    return f"{share_of(int(chosen.sum()), len(chosen))}: {', '.join(first)}{more}"


def share_of(number: int, total: int) -> str:
    """Write a number of images and their share: 12 of 748 (1.6%); a share that would round to none is left out."""
    share = f"{number / max(total, 1):.1%}"
    return f"{number:,} of {total:,}" + ("" if share == "0.0%" else f" ({share})")
