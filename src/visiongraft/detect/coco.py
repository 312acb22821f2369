"""Annotations in COCO's json."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path

from visiongraft.data.walk import folders_in
from visiongraft.detect.annotations import Id
from visiongraft.detect.faults import Mending
from visiongraft.detect.gathering import Claim, Gathering
from visiongraft.detect.sources import PartName, files_ending_in, first_with_most, folders_of_images, part_named
from visiongraft.errors import DataError, counted
from visiongraft.kernels.types import Grid

Entry = Mapping[str, object]
"""One image, object or category of the json."""

_OTHERS = re.compile("captions|panoptic|stuff|image_info|person_keypoints")
"""In the names of what COCO publishes beside its files of instances."""

_WORDS = re.compile(rb'"(images|annotations|categories)"')
_ENDS = 1 << 16  # bytes at either end of a file in which one of the words is looked for
_SOME = 20  # images by which their folder is known


@dataclass(frozen=True, eq=False)
class CocoPart:
    """A file of instances.

    Args:
        place: the file.
        root: the data set's folder.
        part: which part of it.
        images: as in the json.
        annotations: as in the json.
        categories: the name of each category by its id, sorted by numbers.
    """

    place: Path
    root: Path
    part: PartName
    images: list[Entry]
    annotations: list[Entry]
    categories: Mapping[Id, str]

    def gathered(self, labels: Mapping[Id, int], mending: Mending) -> Gathering:
        """Look at every image and object."""
        gathering = Gathering(self.place, self._folder(), mending)
        for number, each in enumerate(self.images):
            key = _id_of(each, "id", f"image {number + 1}", self.place)
            gathering.add_image(key, _file_of(each, self.place), _size_of(each), where=f"image {key}")
        for number, each in enumerate(self.annotations):
            key = _id_of(each, "id", f"annotation {number + 1}", self.place) if "id" in each else -number - 1
            where = f"annotation {key}" if "id" in each else f"annotation number {number + 1} of the file"
            image = _id_of(each, "image_id", where, self.place)
            gathering.add_object(image, _claim(each, key, where, labels))
        return gathering

    def _folder(self) -> Path:
        """Find the folder in which most of the first images lie."""
        files = [_file_of(each, self.place) for each in self.images[:_SOME]]
        places = [self.place.parent, *folders_of_images(self.root, self.part)]
        folder, there = first_with_most(places, files)
        if not there:
            looked = ", ".join(repr(str(each)) for each in dict.fromkeys(places))
            raise DataError(
                f"{str(self.place)!r} lists {counted(len(self.images), 'image')}, and none of the first {len(files)}"
                f" is there: no {files[0]!r} in {looked}. Put the images into one of these folders."
            )
        return folder


def find_coco(root: Path) -> dict[PartName, Callable[[], CocoPart]]:
    """Find the files of instances of a folder, by the part that their names, or those of their folders, tell.

    Looked for are `annotations/instances_train2017.json`, `instances_train.json`, `train/_annotations.coco.json`, and
    whatever else ends in .json in these places. One that tells no part is "all", and counts where it is alone.

    Raises:
        DataError: if there are two for a part.
    """
    found: dict[PartName, list[Path]] = {}
    for place in [root, *folders_in(root)]:
        named = None if place == root else part_named(place.name)
        if place == root or named or place.name.lower() == "annotations":
            for file in files_ending_in(".json", place):
                if not _OTHERS.search(file.name) and _looks_right(file):
                    found.setdefault(part_named(file.stem) or named or "all", []).append(file)
    if len(found) > 1:
        found.pop("all", None)
    chosen = {part: [each for each in files if "instances" in each.stem] or files for part, files in found.items()}
    for part, files in chosen.items():
        if len(files) > 1:
            raise DataError(
                f"{str(root)!r} has {len(files)} files of objects for {part}: "
                f"{', '.join(repr(str(each.relative_to(root))) for each in files[:2])}, and one is wanted. "
                "Move the others away."
            )
    return {part: partial(open_coco, files[0], root, part) for part, files in chosen.items()}


def _looks_right(file: Path) -> bool:
    """Tell whether a file may list images and objects, by its name or the words near its ends."""
    if "instances" in file.stem or "coco" in file.stem:
        return True
    try:
        with file.open("rb") as stream:
            head = stream.read(_ENDS)
            stream.seek(max(0, file.stat().st_size - _ENDS))
            return bool(_WORDS.search(head + stream.read()))
    except OSError:
        return True  # whoever reads it says what is wrong


def open_coco(file: Path, root: Path, part: PartName) -> CocoPart:
    """Read a file of instances.

    Raises:
        DataError: if it cannot be read, is no such file, or has two categories of one id or name.
    """
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"Cannot read {str(file)!r}: {error.strerror}. Make it readable.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{str(file)!r} is no json, or damaged: {error}. Export it again.") from None
    if not isinstance(document, dict):
        raise DataError(f"{str(file)!r} holds {type(document).__name__}, and expected is an object with images.")
    lists = {}
    for name in ("images", "annotations", "categories"):
        entries = document.get(name)
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise DataError(
                f"{str(file)!r} has no list of {name}. Expected COCO's json for detection, with images,"
                " annotations and categories."
            )
        lists[name] = entries
    if not lists["images"]:
        raise DataError(f"{str(file)!r} lists no image. Export it again.")
    return CocoPart(file, root, part, lists["images"], lists["annotations"], _categories(lists["categories"], file))


def _categories(entries: list[Entry], file: Path) -> dict[Id, str]:
    """Read the categories, sorted by their ids if these are numbers."""
    named: dict[Id, str] = {}
    for number, each in enumerate(entries):
        key, name = _id_of(each, "id", f"category {number + 1}", file), str(each.get("name", ""))
        if not name:
            raise DataError(f"{str(file)!r}: category {key!r} has no name. Give it one.")
        if key in named or name in named.values():
            what = f"two categories have the id {key!r}" if key in named else f"two categories are called {name!r}"
            raise DataError(f"{str(file)!r}: {what}. Each needs an id and a name of its own.")
        named[key] = name
    if not named:
        raise DataError(f"{str(file)!r} lists no category. Export it again.")
    if all(isinstance(key, int) for key in named):
        return dict(sorted(named.items()))
    return named


def _claim(entry: Entry, key: Id, where: str, labels: Mapping[Id, int]) -> Claim:
    """Give an object, its box with corners."""
    category = entry.get("category_id")
    return Claim(
        key,
        where,
        labels.get(category) if isinstance(category, int | str) else None,
        category,
        _corners(entry.get("bbox")),
        crowd=_is_crowd(entry.get("iscrowd")),
        area=_area(entry.get("area")),
        segmentation=entry.get("segmentation"),
    )


def _is_crowd(flag: object) -> bool:
    """Read 0 or 1, which some programs write as text."""
    return bool(flag) and str(flag).strip().lower() not in ("0", "false")


def _area(number: object) -> float | None:
    """Read an area; None where the outline, or the box, tells better."""
    with suppress(OverflowError):
        if isinstance(number, int | float) and number > 0 and isfinite(number):
            return float(number)
    return None


def _corners(box: object) -> object:
    """Turn x y width height into corners, where these are numbers."""
    if isinstance(box, list) and len(box) == 4 and all(isinstance(each, int | float) for each in box):
        with suppress(OverflowError):
            x, y, width, height = (float(each) for each in box)
            if isfinite(x + y + width + height):
                return (x, y, x + width, y + height)
    return str(box) if box else None  # as it stands, for the error


def _id_of(entry: Entry, name: str, where: str, file: Path) -> Id:
    """Read an id."""
    key = entry.get(name)
    if isinstance(key, float) and key.is_integer():
        return int(key)
    if isinstance(key, int | str) and not isinstance(key, bool):
        return key
    raise DataError(f"{str(file)!r}: {where} has no {name} ({key!r}). Expected a number.")


def _file_of(entry: Entry, file: Path) -> str:
    """Read the name of an image's file."""
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError(f"{str(file)!r}: image {entry.get('id')!r} has no file_name. Export it again.")
    return name


def _size_of(entry: Entry) -> Grid | None:
    """Read height and width, where they are stated."""
    height, width = entry.get("height"), entry.get("width")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None
