"""What a reader of annotation files gives: the images and objects of one part of a data set, and its categories."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from visiongraft.data.folder import TRAIN_NAME, VAL_NAMES
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


def names_of_parts() -> str:
    """Write the names that a part may have, for errors."""
    return ", ".join((TRAIN_NAME, *VAL_NAMES))


def first_with_most(places: Sequence[Path], files: Sequence[str]) -> tuple[Path, int]:
    """Find the folder that holds most of some files, and how many; of equal ones the first."""
    counts = [sum((place / each.replace("\\", "/")).is_file() for each in files) for place in places]
    best = max(range(len(places)), key=lambda place: counts[place])
    return places[best], counts[best]
