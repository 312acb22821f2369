"""From what files of annotations say to a set of images with objects: the one place where it is looked at closely."""

import os
import unicodedata
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np

from visiongraft.data.images import MAX_PIXELS, image_size
from visiongraft.detect.annotations import DetectionSet, Id
from visiongraft.detect.faults import Fault, FaultKind, Mending
from visiongraft.detect.outlines import BadOutlineError, Outline, quoted, read_outline
from visiongraft.kernels.types import Grid

ROUNDING = 1.0
"""Pixels by which a box may leave its image without a word: so far do rounded numbers lead, COCO's own among them."""

Box = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels."""


class Claim(NamedTuple):
    """One object as a file has it, before anybody looked whether it makes sense.

    Args:
        key: what the file calls it.
        where: the same in words for a sentence, such as "annotation 17".
        label: its category, from 1; None where it is not known.
        category: its category as the file writes it.
        box: x0 y0 x1 y1 in pixels, or what came in place of them; None where the shape tells.
        crowd: whether it stands for many.
        area: pixels, where the file tells.
        segmentation: as in COCO's json, or nothing.
    """

    key: Id
    where: str
    label: int | None
    category: object
    box: object
    crowd: bool = False
    area: float | None = None
    segmentation: object = None


class _Kept(NamedTuple):
    """An object that makes sense."""

    box: Box
    label: int
    crowd: bool
    area: float
    key: Id
    outline: Outline | None


class _Entry(NamedTuple):
    """An image and its objects."""

    key: Id
    file: str
    size: Grid
    objects: list[_Kept]


class Gathering:
    """Takes images and objects one by one, notes what is wrong, and mends what it was told to.

    Args:
        source: the file of annotations, for errors.
        root: the folder of the images.
        mending: what was asked to be done about faults.
    """

    def __init__(self, source: Path, root: Path, mending: Mending) -> None:
        self.source = str(source)
        self.root = root
        self.mending = mending
        self.faults: list[Fault] = []
        self._entries: dict[Id, _Entry] = {}
        self._files: dict[str, Id] = {}
        self._same: dict[Id, Id] = {}  # other ids of an image
        self._dropped: set[Id] = set()
        self._keys: dict[Id, tuple[object, ...]] = {}

    def add_image(self, key: Id, file: str, size: Grid | None, *, where: str) -> Grid | None:
        """Take an image.

        Args:
            key: what the file calls it.
            file: its path below the root.
            size: height and width, as the file says; None has the image's own header asked.
            where: what it is in the file, for errors.

        Returns:
            Its height and width; None where it was not taken.
        """
        file = file.replace("\\", "/")
        if self._listed_before(key, file, where):
            return None
        self._dropped.add(key)  # until all is well
        found = _spelt_as_on_disk(self.root, file)
        if found is None:
            self._note("missing_file", file, where, f"is not there: no {str(self.root / file)!r}")
            return None
        size = size or image_size(self.root / found)
        if size is None:
            self._note("no_size", file, where, "has no stated size, and none that can be read")
            return None
        if size[0] * size[1] > MAX_PIXELS:
            self._note(
                "no_size", file, where, f"is said to have {size[1]} x {size[0]} pixels, and none so large is read"
            )
            return None
        self._dropped.discard(key)
        self._files[file] = key
        self._entries[key] = _Entry(key, found, size, [])
        return size

    def add_object(self, image: Id, claim: Claim) -> None:
        """Take an object of an image, or note what is wrong with it."""
        if image in self._dropped:  # a fault of the image, which was noted
            return
        entry = self._entries.get(self._same.get(image, image))
        if entry is None:
            self._note("unknown_image", "", claim.where, f"is of an image {image!r} that is not listed")
            return
        if self._came_before(entry, claim):
            return
        if claim.label is None:
            detail = f"has a category {quoted(claim.category)} that is not listed"
            self._note("unknown_category", entry.file, claim.where, detail)
            return
        outline, sound = self._outline(entry, claim)
        if not sound:
            return
        box = self._box(entry, claim, outline)
        if box is None:
            return
        area = claim.area
        if area is None:
            area = outline.area if outline is not None else (box[2] - box[0]) * (box[3] - box[1])
        entry.objects.append(_Kept(box, claim.label, claim.crowd, area, claim.key, outline))

    def finished(self) -> DetectionSet:
        """Give the set."""
        entries = list(self._entries.values())
        objects = [each for entry in entries for each in entry.objects]
        shaped = any(each.outline is not None for each in objects)
        return DetectionSet(
            self.root,
            tuple(each.file for each in entries),
            tuple(each.key for each in entries),
            np.array([each.size for each in entries], np.int64).reshape(-1, 2),
            np.cumsum([0, *(len(each.objects) for each in entries)]),
            np.array([each.box for each in objects], np.float64).reshape(-1, 4),
            np.array([each.label for each in objects], np.int64),
            np.array([each.crowd for each in objects], np.bool_),
            np.array([each.area for each in objects], np.float64),
            tuple(each.key for each in objects),
            tuple(each.outline for each in objects) if shaped else (),
        )

    def _note(self, kind: FaultKind, image: str, where: str, detail: str) -> None:
        """Write down a fault."""
        self.faults.append(Fault(kind, self.source, image, where, detail, self.mending.mends(kind)))

    def _listed_before(self, key: Id, file: str, where: str) -> bool:
        """Note an image that came before. Where two have one id, nobody knows whose the objects are: both go."""
        if key in self._dropped or (key in self._entries and self._files.get(file) != key):
            other = self._entries.pop(key, None)
            self._dropped.add(key)
            self._note("repeated_image", file, where, f"has the id of {other.file if other else 'another one'!r}")
            return True
        if key in self._entries:
            self._note("repeated_image", file, where, "was listed before")
            return True
        if file in self._files:
            self._same[key] = self._files[file]
            self._note("repeated_image", file, where, f"was listed before, with the id {self._files[file]!r}")
            return True
        return False

    def _came_before(self, entry: _Entry, claim: Claim) -> bool:
        """Note an id that came before, and tell whether the object itself did: its image, category and box."""
        content = (entry.key, claim.category, str(claim.box))
        earlier = self._keys.setdefault(claim.key, content)
        if earlier is content:
            return False
        again = earlier == content
        what = "comes again" if again else "has an id that another one has"
        self._note("repeated_id", entry.file, claim.where, what)
        return again

    def _outline(self, entry: _Entry, claim: Claim) -> tuple[Outline | None, bool]:
        """Read the shape, and tell whether the object can be kept."""
        try:
            return read_outline(claim.segmentation, entry.size), True
        except BadOutlineError as error:
            self._note("bad_outline", entry.file, claim.where, str(error))
            return error.rest, self.mending.drops and error.rest is not None

    def _box(self, entry: _Entry, claim: Claim, outline: Outline | None) -> Box | None:
        """Read the box; None where the object cannot be kept."""
        box = _numbers(claim.box) if claim.box is not None else None if outline is None else outline.box
        if box is None:
            written = "none" if claim.box is None else quoted(claim.box)
            self._note("bad_box", entry.file, claim.where, f"has no box of four finite numbers ({written})")
            return None
        if box[2] <= box[0] or box[3] <= box[1]:
            self._note("no_extent", entry.file, claim.where, f"has a box without width or height ({_written(box)})")
            return None
        height, width = entry.size
        inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
        some = inside[0] < inside[2] and inside[1] < inside[3]
        if some and max(abs(one - other) for one, other in zip(box, inside, strict=True)) <= ROUNDING:
            return inside
        self._note(
            "outside",
            entry.file,
            claim.where,
            f"has a box ({_written(box)}) that leaves its {width} x {height} pixels",
        )
        if self.mending.clips and some:
            return inside
        if self.mending.clips:
            self._note("no_extent", entry.file, claim.where, f"has a box that lies outside ({_written(box)})")
        return None


def _numbers(box: object) -> Box | None:
    """Read four finite numbers."""
    if not isinstance(box, Sequence) or isinstance(box, str) or len(box) != 4:
        return None
    try:
        x0, y0, x1, y1 = (float(each) for each in box)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x0, y0, x1, y1) if all(map(isfinite, (x0, y0, x1, y1))) else None


def _written(box: Box) -> str:
    return " ".join(f"{each:g}" for each in box)


def _spelt_as_on_disk(root: Path, file: str) -> str | None:
    """Find a file however its accents are spelt: macOS takes letters apart. None where it is not there."""
    for form in (file, unicodedata.normalize("NFC", file), unicodedata.normalize("NFD", file)):
        if os.path.isfile(root / form):  # noqa: PTH113 - Path.is_file raises where a name is too long
            return form
    return None
