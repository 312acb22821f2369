"""What a reader of annotation files gives: the images and objects of one part of a data set, and its categories."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from visiongraft.data.folder import VAL_NAMES
from visiongraft.data.walk import folders_in
from visiongraft.detect.annotations import Id
from visiongraft.detect.faults import Mending
from visiongraft.detect.gathering import Gathering

PartName = Literal["train", "val", "test", "all"]
"""To learn from, to be scored on, kept for the last score, or not divided."""


class Source(Protocol):
    """One part of a data set, whose files were opened."""

    @property
    def place(self) -> Path:
        """The file or folder of annotations."""

    @property
    def categories(self) -> Mapping[Id, str]:
        """What the files call each category: its name by its id, in their order."""

    def gathered(self, labels: Mapping[Id, int], mending: Mending) -> Gathering:
        """Look at every image and object.

        Args:
            labels: the label, from 1, of each category that is to be known.
            mending: what is to be done about faults.

        Raises:
            DataError: if there is no image at all.
        """


def part_named(name: str) -> PartName | None:
    """Tell which part a file or folder is by the words in its name, as in instances_train2017 or valid."""
    words = re.findall("[a-z]+", name.lower())
    if "train" in words or "training" in words:
        return "train"
    part = next((each for each in VAL_NAMES if each in words), None)
    return None if part is None else "test" if part == "test" else "val"


def folders_of_images(root: Path, part: PartName) -> list[Path]:
    """List where the images of a part may lie, the likelier first.

    Args:
        root: the data set's folder.
        part: "all" for images that are not divided.
    """
    places: list[Path] = []
    for above in (root, root / "images"):
        if above.is_dir():
            places += [each for each in folders_in(above) if part_named(each.name) == part]
    return [*places, root / "images", root / "JPEGImages", root / "data", root]


def files_ending_in(end: str, folder: Path) -> list[Path]:
    """List the files of a folder whose names end so, sorted, without the ._1.xml that macOS puts beside 1.xml."""
    return sorted(each for each in folder.glob(f"*{end}") if not each.name.startswith(".") and each.is_file())


def first_with_most(places: Sequence[Path], files: Sequence[str]) -> tuple[Path, int]:
    """Find the folder that holds most of some files, and how many; of equal ones the first."""
    slashed = [each.replace("\\", "/") for each in files]
    # Path.is_file raises where a name is too long.
    counts = [sum(os.path.isfile(place / each) for each in slashed) for place in places]  # noqa: PTH113
    best = max(range(len(places)), key=lambda place: counts[place])
    return places[best], counts[best]
