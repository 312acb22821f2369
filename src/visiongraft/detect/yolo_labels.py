"""Annotations in YOLO's text files: a data.yaml, images/ and labels/ with a line for each object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from visiongraft.data.images import EXTENSIONS
from visiongraft.data.walk import folders_in, images_under
from visiongraft.detect.annotations import Id
from visiongraft.detect.faults import Mending
from visiongraft.detect.gathering import Claim, Gathering
from visiongraft.detect.sources import PartName, files_ending_in, part_named
from visiongraft.errors import DataError
from visiongraft.kernels.types import Grid

_KEYS: dict[str, PartName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_USUAL = "data"  # .yaml
_BOX, _POLYGON = 5, 7  # numbers on a line: the category, and a box or at least three points


@dataclass(frozen=True, eq=False)
class YoloPart:
    """The images of a part, beside which lie their labels.

    Args:
        place: the data.yaml.
        root: the folder that `files` are below.
        files: paths of images.
        categories: the name of each category by its number.
    """

    place: Path
    root: Path
    files: tuple[str, ...]
    categories: Mapping[Id, str]

    def gathered(self, labels: Mapping[Id, int], mending: Mending) -> Gathering:
        """Look at every image and object."""
        gathering = Gathering(self.place, self.root, mending)
        for file in self.files:
            size = gathering.add_image(file, file, None, where="an image")
            if size is None:
                continue
            lines = labels_of(self.root / file)
            for number, line in enumerate(_lines(lines), start=1):
                if line.strip():
                    where = f"line {number} of {lines.name!r}"
                    gathering.add_object(file, _claim(line.split(), f"{file}:{number}", where, size, labels))
        return gathering


def find_yolo(root: Path) -> dict[PartName, Callable[[], YoloPart]]:
    """Find the parts that a data.yaml of a folder names; without one, images/ beside labels/ and a classes.txt.

    Raises:
        DataError: if it cannot be read, or two of them could be meant.
    """
    found = [
        (each, document)
        for end in (".yaml", ".yml")
        for each in files_ending_in(end, root)
        if (document := _described(each)) is not None
    ]
    if not found:
        return _find_plain(root)
    if len(found) > 1:
        raise DataError(
            f"{str(root)!r} has {len(found)} files that describe data, among them {found[0][0].name!r} and"
            f" {found[1][0].name!r}, and one is wanted. Move the others away."
        )
    file, document = found[0]
    parts: dict[PartName, Callable[[], YoloPart]] = {}
    for key, part in _KEYS.items():
        if document.get(key) and part not in parts:
            parts[part] = partial(_open, file, document, key)
    return parts


def _find_plain(root: Path) -> dict[PartName, Callable[[], YoloPart]]:
    """Find images/, labels/ and a classes.txt with a name on each line, as Label Studio and LabelImg write them."""
    file, images = root / "classes.txt", root / "images"
    if not (file.is_file() and images.is_dir() and (root / "labels").is_dir()):
        return {}
    parts = {part: each for each in folders_in(images) if (part := part_named(each.name))}
    names = [line.strip() for line in _lines(file) if line.strip()]
    described: dict[str, object] = {"names": names, **{part: f"images/{each.name}" for part, each in parts.items()}}
    if parts:
        return {part: partial(_open, file, described, part) for part in parts}
    return {"all": partial(_open, file, {**described, "all": "images"}, "all")}


def labels_of(image: Path) -> Path:
    """Give the file with the objects of an image: beside it, or where labels/ takes the place of the last images/."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _described(file: Path) -> dict[str, object] | None:
    """Read a yaml if it describes data: it has names, or their number, and the place of images.

    Raises:
        DataError: if it cannot be read, and is called as those are that do.
    """
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read {str(file)!r}: {error.strerror}. Make it readable.") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if file.stem != _USUAL:
            return None
        raise DataError(f"{str(file)!r} is no yaml, or damaged: {' '.join(str(error).split())}.") from None
    if not isinstance(document, dict):
        return None
    return document if ("names" in document or "nc" in document) and any(key in document for key in _KEYS) else None


def _open(file: Path, document: Mapping[str, object], key: str) -> YoloPart:
    """List the images of a part."""
    wanted = document[key]
    entries = wanted if isinstance(wanted, list) else [wanted]
    images: list[Path] = []
    for entry in entries:
        if not isinstance(entry, str):
            raise DataError(f"{str(file)!r}: {key} is {entry!r}. Expected a folder, a text file, or a list of them.")
        images += _images_at(_located(file, document, entry, key), file, key)
    if not images:
        raise DataError(f"{str(file)!r}: no image is in what {key} names ({wanted!r}). Add some, or mend the path.")
    return YoloPart(file, file.parent, tuple(_below(file.parent, each) for each in images), _names(document, file))


def _located(file: Path, document: Mapping[str, object], entry: str, key: str) -> Path:
    """Find a folder or list of images: below `path`, or below the yaml; of Roboflow, ../ is one too many."""
    base = Path(str(document.get("path") or ""))
    entry = entry.replace("\\", "/")
    bases = [file.parent / base, file.parent, *([file.parent.parent / base] if str(base) != "." else [])]
    tried = [above / each for above in bases for each in (entry, entry.removeprefix("../"))]
    for place in tried:
        if place.exists():
            return place
    raise DataError(f"{str(file)!r}: there is no {str(tried[0])!r}, which {key} names. Mend the path.")


def _images_at(place: Path, file: Path, key: str) -> list[Path]:
    """List the images of a folder, or those that a text file lists."""
    if place.is_dir():
        return [place / each for each in images_under(place)[0]]
    if place.suffix.lower() in EXTENSIONS:
        return [place]
    lines = [line.strip().replace("\\", "/") for line in _lines(place)]
    if not lines:
        raise DataError(f"{str(file)!r}: {str(place)!r}, which {key} names, lists no image.")
    return [place.parent / line for line in lines if line]


def _below(root: Path, image: Path) -> str:
    """Write a path below a folder; what lies elsewhere stays as it is."""
    try:
        return image.relative_to(root).as_posix()
    except ValueError:
        return image.absolute().as_posix()


def _names(document: Mapping[str, object], file: Path) -> dict[Id, str]:
    """Read the names of the categories, which count from 0."""
    names = document.get("names")
    if names is None and isinstance(document.get("nc"), int):
        names = [str(number) for number in range(int(str(document["nc"])))]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(key, int) for key in names):
        raise DataError(f"{str(file)!r}: names is {names!r}. Expected a list of categories.")
    found = {key: str(names[key]) for key in sorted(names)}
    if len(set(found.values())) < len(found):
        twice = next(name for name in found.values() if list(found.values()).count(name) > 1)
        raise DataError(f"{str(file)!r}: two categories are called {twice!r}. Each needs a name of its own.")
    return dict(found)


def _lines(file: Path) -> list[str]:
    """Read the lines of a text file; none where it is not there, as for images that show nothing."""
    try:
        return file.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"Cannot read {str(file)!r}: {error.strerror}. Make it readable.") from None
    except ValueError:
        raise DataError(f"{str(file)!r} is no text in UTF-8. Export it again.") from None


def _claim(words: list[str], key: str, where: str, size: Grid, labels: Mapping[Id, int]) -> Claim:
    """Give an object: its category, and the middle, width and height of a box, or the points of a polygon.

    All are shares of the image's height and width.
    """
    category: object = words[0]
    try:
        category = int(float(words[0]))
        numbers = [float(each) for each in words[1:]]
    except (ValueError, OverflowError):
        return Claim(
            key, where, labels.get(category) if isinstance(category, int) else None, category, " ".join(words)
        )
    label = labels.get(category) if isinstance(category, int) else None
    height, width = size
    if len(words) == _BOX:
        x, y, across, down = numbers
        corners = (x - across / 2) * width, (y - down / 2) * height, (x + across / 2) * width, (y + down / 2) * height
        return Claim(key, where, label, category, corners)
    if len(words) < _POLYGON:
        return Claim(key, where, label, category, " ".join(words))
    ring = [each * (height if place % 2 else width) for place, each in enumerate(numbers)]
    return Claim(key, where, label, category, None, segmentation=[ring])
