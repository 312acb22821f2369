"""What can be wrong with annotations, what is refused for it, and what mends it when that is asked for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from visiongraft.errors import DataError, counted

Fix = Literal["drop", "clip"]
"""What may be done about faults: leave out what is wrong, or cut boxes off at the edges of their image."""

FIXES: tuple[Fix, ...] = ("drop", "clip")

FaultKind = Literal[
    "bad_box",
    "no_extent",
    "outside",
    "bad_outline",
    "unknown_category",
    "unknown_image",
    "repeated_image",
    "repeated_id",
    "missing_file",
    "no_size",
]


class Sort(NamedTuple):
    """One sort of fault.

    Args:
        what: those who have it, as the beginning of a sentence.
        remedy: what to do by hand.
        fix: what mends it.
    """

    what: str
    remedy: str
    fix: Fix


SORTS: dict[FaultKind, Sort] = {
    "bad_box": Sort("Boxes that are not four finite numbers", "Draw them again, or remove them", "drop"),
    "no_extent": Sort("Boxes without width or height", "Draw them again, or remove them", "drop"),
    "outside": Sort("Boxes that leave their image", "See whether sizes and corners are what they should be", "clip"),
    "bad_outline": Sort("Shapes that are none", "Draw them again, or remove them", "drop"),
    "unknown_category": Sort("Objects of a category that is not listed", "List it, or remove them", "drop"),
    "unknown_image": Sort("Objects of an image that is not listed", "List it, or remove them", "drop"),
    "repeated_image": Sort("Images that are listed again", "Remove all entries but one", "drop"),
    "repeated_id": Sort("Objects with an id that another one has", "Number them anew: many programs keep one", "drop"),
    "missing_file": Sort("Images that are listed and not there", "Bring them, or remove their entries", "drop"),
    "no_size": Sort("Images whose size nothing tells", "Replace them: they cannot be read", "drop"),
}
"""Every sort of fault, for each of which a training refuses the data."""


class Fault(NamedTuple):
    """One thing that is wrong.

    Args:
        kind: its sort.
        source: the file of annotations.
        image: the path of the image, or an empty string.
        where: what it is in the file, such as "annotation 17".
        detail: what is wrong with it, as the rest of a sentence that begins with `where`.
        mended: whether something was done about it.
    """

    kind: FaultKind
    source: str
    image: str
    where: str
    detail: str
    mended: bool

    def __str__(self) -> str:
        """Say it in one line."""
        on = f" of {self.image!r}" if self.image else ""
        return f"{self.source!r}: {self.where}{on} {self.detail}"


@dataclass(frozen=True)
class Mending:
    """What was asked to be done about faults.

    Args:
        fixes: any of `FIXES`.
    """

    fixes: tuple[Fix, ...] = ()

    @property
    def drops(self) -> bool:
        """Whether what is wrong is left out."""
        return "drop" in self.fixes

    @property
    def clips(self) -> bool:
        """Whether boxes are cut off at the edges of their image."""
        return "clip" in self.fixes

    def mends(self, kind: FaultKind) -> bool:
        """Tell whether a sort of fault is mended: what can be clipped can be dropped as well."""
        return self.drops or SORTS[kind].fix in self.fixes


def refuse_faults(name: str, faults: Sequence[Fault]) -> None:
    """Refuse a data set with faults that were not mended.

    Raises:
        DataError: in one line, with the first fault, how many there are, and what mends them.
    """
    left = [each for each in faults if not each.mended]
    if not left:
        return
    first = left[0]
    others = Counter(each.kind for each in left)
    more = counted(len(left), "fault")
    fixes = [fix for fix in FIXES if any(SORTS[kind].fix == fix for kind in others)]
    raise DataError(
        f"{first}; {more} in all. `graft doctor --data {name}` lists "
        f"{'it' if len(left) == 1 else 'them'}; --fix {','.join(fixes)} mends {'it' if len(left) == 1 else 'them'} "
        "while reading, and changes no file."
    )
