"""Annotations in Pascal VOC's xml files: a file for each image."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from visiongraft.data.images import EXTENSIONS
from visiongraft.data.walk import folders_in
from visiongraft.detect.annotations import Id
from visiongraft.detect.faults import Mending
from visiongraft.detect.gathering import Claim, Gathering
from visiongraft.detect.sources import PartName, files_ending_in, first_with_most, part_named
from visiongraft.errors import DataError
from visiongraft.kernels.types import Grid

_LISTS: dict[str, PartName] = {"train": "train", "val": "val", "valid": "val", "test": "test"}
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SOME = 20  # images by which their folder is known


class _Document(NamedTuple):
    """What an xml file says."""

    file: Path
    image: str
    size: Grid | None
    objects: list[tuple[str, object, bool]]
    """Category, corners, and whether it is a difficult one."""


@dataclass(frozen=True, eq=False)
class VocPart:
    """The xml files of a part.

    Args:
        place: their folder.
        root: the folder of the images.
        documents: what they say.
        categories: the names that come up, sorted; VOC has no list of them.
    """

    place: Path
    root: Path
    documents: tuple[_Document, ...]
    categories: Mapping[Id, str]

    def gathered(self, labels: Mapping[Id, int], mending: Mending) -> Gathering:
        """Look at every image and object; a difficult one is neither learnt from nor asked for."""
        gathering = Gathering(self.place, self.root, mending)
        for each in self.documents:
            name = each.file.name
            gathering.add_image(name, each.image, each.size, where=f"{name!r}")
            for number, (category, box, difficult) in enumerate(each.objects, start=1):
                where = f"object {number} of {name!r}"
                claim = Claim(f"{name}:{number}", where, labels.get(category), category, box, crowd=difficult)
                gathering.add_object(name, claim)
        return gathering


def find_voc(root: Path) -> dict[PartName, Callable[[], VocPart]]:
    """Find the xml files of a folder: in Annotations/, divided by ImageSets/Main/*.txt, or beside images in train/.

    VOCdevkit/VOC2012 and the like may be in between.
    """
    for base in (root, *_editions(root)):
        folder = base / "Annotations"
        if folder.is_dir() and files_ending_in(".xml", folder):
            lists = {
                part: base / "ImageSets" / "Main" / f"{name}.txt"
                for name, part in _LISTS.items()
                if (base / "ImageSets" / "Main" / f"{name}.txt").is_file()
            }
            if not lists:
                return {"all": partial(_open, folder, base, None)}
            return {part: partial(_open, folder, base, file) for part, file in lists.items()}
    beside: dict[PartName, Callable[[], VocPart]] = {}
    for folder in folders_in(root):
        part = part_named(folder.name)
        if part and files_ending_in(".xml", folder):
            beside[part] = partial(_open, folder, folder, None)
    return beside


def _editions(root: Path) -> list[Path]:
    """List folders such as VOC2012, newest first, here or in VOCdevkit/."""
    places = [root, root / "VOCdevkit"]
    found = [each for place in places if place.is_dir() for each in folders_in(place)]
    return sorted((each for each in found if re.fullmatch(r"VOC\d{4}", each.name)), reverse=True)


def _open(folder: Path, base: Path, listed: Path | None) -> VocPart:
    """Read the xml files of a part."""
    if listed is None:
        files = files_ending_in(".xml", folder)
    else:
        files = [_listed(folder, line.strip()) for line in _text(listed).splitlines() if line.strip()]
    if not files:
        raise DataError(f"{str(listed or folder)!r} lists no image. Export it again.")
    documents = tuple(_read(each) for each in files)
    places = [base / "JPEGImages", base / "images", folder, base]
    images = [each.image for each in documents[:_SOME]]
    stems = {each.stem for each in files}
    root, there = first_with_most(places, images)
    if not there:
        documents = _with_images(documents, places)
        root, there = first_with_most(places, [each.image for each in documents[:_SOME]])
    if not there:
        looked = ", ".join(repr(str(each)) for each in dict.fromkeys(places))
        raise DataError(
            f"{str(folder)!r}: none of the first {len(images)} of {len(stems):,} images is there: no {images[0]!r} in"
            f" {looked}. Put the images into one of these folders."
        )
    names = sorted({category for each in documents for category, _, _ in each.objects})
    return VocPart(folder, root, documents, {name: name for name in names})


def _listed(folder: Path, line: str) -> Path:
    """Give the xml file that a line names; of a name without spaces, perhaps 1 or -1 stands behind it."""
    whole = folder / f"{line}.xml"
    return whole if os.path.isfile(whole) else folder / f"{line.split()[0]}.xml"  # noqa: PTH113 - as in sources


def _with_images(documents: tuple[_Document, ...], places: list[Path]) -> tuple[_Document, ...]:
    """Name the images after the xml files, where what these say is not there: many programs rename one of the two."""
    known = {path.stem: path.name for place in places if place.is_dir() for path in place.iterdir() if _is_image(path)}
    return tuple(each._replace(image=known.get(each.file.stem, each.image)) for each in documents)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def _read(file: Path) -> _Document:
    """Read an xml file.

    Raises:
        DataError: if it cannot be read, or is none of VOC's.
    """
    try:
        tree = ElementTree.fromstring(file.read_bytes())
    except OSError as error:
        raise DataError(f"Cannot read {str(file)!r}: {error.strerror}. Bring it, or make it readable.") from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{str(file)!r} is no xml, or damaged: {error}. Export it again.") from None
    name = (tree.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]
    if tree.tag != "annotation" or not (name or tree.find("object") is not None):
        raise DataError(f"{str(file)!r} is no annotation of VOC: it begins with <{tree.tag}>. Move it away.")
    name = name or f"{file.stem}.jpg"
    return _Document(
        file,
        name if Path(name).suffix else f"{name}.jpg",
        _size(tree),
        [_object(each) for each in tree.iter("object")],
    )


def _size(tree: ElementTree.Element) -> Grid | None:
    """Read height and width; some programs write 0."""
    try:
        height, width = int(tree.findtext("size/height") or 0), int(tree.findtext("size/width") or 0)
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None


def _object(entry: ElementTree.Element) -> tuple[str, object, bool]:
    """Read an object. Corners count pixels from 1, the last one included: so 1 comes off the first corner."""
    category = (entry.findtext("name") or "").strip()
    words = [(entry.findtext(f"bndbox/{each}") or "").strip() for each in _CORNERS]
    difficult = (entry.findtext("difficult") or "").strip() == "1"
    try:
        x0, y0, x1, y1 = (float(each) for each in words)
    except ValueError:
        return category, " ".join(words), difficult
    return category, (x0 - 1, y0 - 1, x1, y1), difficult


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {str(file)!r}: {getattr(error, 'strerror', error)}.") from None
