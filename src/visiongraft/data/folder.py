"""Folders of image files: a folder for each class, with or without a split into train/ and val/ above them."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visiongraft.data.images import EXTENSIONS
from visiongraft.data.sets import FileImages, ImageData, Parts, no_images
from visiongraft.data.walk import folders_in, images_under
from visiongraft.errors import DataError, counted

TRAIN_NAME = "train"
"""The folder that holds what to learn from."""

UNSEEN_NAME = "test"
"""The folder that holds what many keep for the very last score. Taken only where there is no other, and noted."""

VAL_NAMES = ("val", "valid", "validation", UNSEEN_NAME)
"""The folders that may hold what to be scored on; the first that exists is taken."""

HELD_OUT = 0.2
"""The share of the images that a split by file name gives to val."""

LAYOUT = "Expected one folder for each class (photos/cat/1.jpg), or train/ and val/ with such folders inside"


def open_folder(root: Path, *, parts: Parts = "both") -> ImageData:
    """Find the images of a folder, and which of them are held out for scoring.

    Args:
        root: holds train/ and val/ with a folder for each class in both, or the folders of the classes themselves, of
            which a fifth is then held out by `split_by_name`. Class folders are sorted by name, and
            searched as `images_under` says.
        parts: "val" reads only what to be scored on, and does not ask for train/ where there is val/.

    Returns:
        The data set, named after the folder.

    Raises:
        DataError: if there is no image, only one class, a class without images, or a class in val/ that train/ lacks.
    """
    train, val = _parts_of(root)
    if val is not None and (train is not None or parts == "val"):
        return _split_already(root, train, val, parts)
    if val is not None:
        raise DataError(f"{str(root)!r} has {val.name}/ but no {TRAIN_NAME}/ to learn from. {LAYOUT}.")
    return _split_here(root, train or root, parts)


def list_folder(root: Path) -> ImageData:
    """List the images of a folder that `open_folder` may refuse, for those who look for what is wrong with it.

    The classes are those of train/ and val/ together, whether they hold images or not. Without val/, images are held
    out as by `split_by_name`, where a class has more than one.

    Raises:
        DataError: if no class folder holds an image, or a folder cannot be listed.
    """
    train, val = _parts_of(root)
    first = train or (root if val is None else None)
    classes = sorted({each.name for part in (first, val) if part is not None for each in folders_in(part)})
    (learnt, notes), (scored, more) = (_whatever_of(part, classes) for part in (first, val))
    if len(learnt) + len(scored) == 0:
        raise DataError(f"{str(root)!r} holds no image in a folder of a class. {LAYOUT}.")
    if val is None:
        learnt, scored = _divided(learnt, len(classes))
    return ImageData(str(root), tuple(classes), learnt, scored, (*notes, *more))


def _whatever_of(part: Path | None, classes: Sequence[str]) -> tuple[FileImages, tuple[str, ...]]:
    """List the images of those classes that are there, and say how many other files were passed over."""
    files: list[str] = []
    labels: list[int] = []
    strange: Counter[str] = Counter()
    for label, name in enumerate(classes):
        if part is None or not (part / name).is_dir():
            continue
        found, others = images_under(part / name)
        files += [f"{name}/{each}" for each in found]
        labels += [label] * len(found)
        strange += others
    what = ", ".join(f"{count} {end or 'without an end'}" for end, count in strange.most_common(3))
    note = f"Passed over {counted(strange.total(), 'file')} ({what}) under {str(part)!r}: no images by their names."
    return FileImages(part or Path(), tuple(files), np.array(labels, np.int64)), (note,) if strange else ()


def split_by_name(images: FileImages, classes: Sequence[str]) -> tuple[FileImages, FileImages]:
    """Hold out a fifth of the images of every class, chosen by their names alone.

    Whether a file is held out follows from the SHA-256 of its path below the folder of its class, so files that come
    or go move no other. One exception: a class of so few files that none, or all, would be held out gives or keeps
    the one file that is nearest to the line, so that it can be both learnt and scored.

    Args:
        images: files whose paths begin with the folder of their class.
        classes: the names of the classes, for errors.

    Returns:
        What to learn from, and what is held out.

    Raises:
        DataError: if a class has fewer than two images.
    """
    for label, name in enumerate(classes):
        count = int(np.count_nonzero(images.labels == label))
        if count < 2:
            raise DataError(
                f"Class {name!r} has only {count} image in {str(images.root)!r}. "
                "At least 2 are needed, one to learn from and one to be scored on: add images, or remove the class."
            )
    return _divided(images, len(classes))


def _divided(images: FileImages, classes: int) -> tuple[FileImages, FileImages]:
    """Hold images out by their names; a single image of a class is there to learn from."""
    places = np.array([position(name.partition("/")[2] or name) for name in images.files])
    held_out = places < HELD_OUT
    for label in range(classes):
        members = np.flatnonzero(images.labels == label)
        if len(members) > 1 and not held_out[members].any():
            held_out[members[places[members].argmin()]] = True
        elif len(members) > 0 and held_out[members].all():
            held_out[members[places[members].argmax()]] = False
    return images.subset(np.flatnonzero(~held_out).tolist()), images.subset(np.flatnonzero(held_out).tolist())


def position(name: str) -> float:
    """Give a file name its place in [0, 1), evenly spread and the same on every machine.

    Letters with accents count the same however the file system spells them: macOS takes them apart, others do not.
    """
    spelt = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(spelt).digest()[:6]) / 2**48


def _parts_of(root: Path) -> tuple[Path | None, Path | None]:
    """Find the folders of what to learn from and of what to be scored on.

    A class may be called "train": a folder of a part is one that holds folders.
    """
    folders = {each.name: each for each in folders_in(root)}
    train = folders.get(TRAIN_NAME)
    val = next((folders[name] for name in VAL_NAMES if name in folders), None)
    train = train if train is not None and folders_in(train) else None
    if val is not None and not folders_in(val):
        if train is not None:  # a failed copy, rather than a class with that name
            files, others = images_under(val)
            held = counted(len(files), "image") if files else counted(others.total(), "file") if others else "nothing"
            raise DataError(
                f"{str(val)!r} holds {held}, and no folders of classes. Fill it as {TRAIN_NAME}/ is filled, or remove"
                f" it: a fifth of {TRAIN_NAME}/ is then held out."
            )
        val = None
    return train, val


def _split_already(root: Path, train: Path | None, val: Path, parts: Parts) -> ImageData:
    """Read a folder with train/ and val/; the classes are those of train/."""
    classes = tuple(each.name for each in folders_in(train or val))
    strangers = sorted({each.name for each in folders_in(val)} - set(classes))
    if strangers:
        raise DataError(
            f"{str(val)!r} has a class {strangers[0]!r} that {TRAIN_NAME}/ lacks ({len(strangers)} in all). "
            f"Every class of {val.name}/ must be one that can be learnt."
        )
    if train is not None or not classes:  # to be scored, images of one class will do
        _need_two_classes(train or val, classes)
    scored, notes = _images_of(val, classes)
    if val.name == UNSEEN_NAME:
        notes += (f"{str(root)!r} comes without val/: {UNSEEN_NAME}/ takes its place.",)
    learnt = no_images()
    if train is not None and parts == "both":
        learnt, more = _images_of(train, classes)
        notes = (*more, *notes)
    missing = [name for name in classes if not (val / name).is_dir()]
    if missing:
        notes += (f"{str(val)!r} lacks the folders of {counted(len(missing), 'class')}, among them {missing[0]!r}.",)
    return ImageData(str(root), classes, learnt, scored, notes)


def _split_here(root: Path, folder: Path, parts: Parts) -> ImageData:
    """Read a folder of class folders, and hold out a fifth."""
    classes = tuple(each.name for each in folders_in(folder))
    _need_two_classes(folder, classes)
    images, notes = _images_of(folder, classes)
    train, val = split_by_name(images, classes)
    notes += (
        f"{str(folder)!r} comes without val/: {counted(len(val), 'image')} of {len(images):,} held out by file name.",
    )
    return ImageData(str(root), classes, train if parts == "both" else no_images(), val, notes)


def _need_two_classes(folder: Path, classes: Sequence[str]) -> None:
    """Refuse a folder from which nothing can be told apart."""
    if len(classes) == 1:
        raise DataError(
            f"{str(folder)!r} holds only one class, {classes[0]!r}. At least two are needed to learn a difference. "
            f"{LAYOUT}."
        )
    if not classes:
        files, others = images_under(folder)
        other = f"{counted(others.total(), 'file')} but no image," if others else "nothing"
        found = counted(len(files), "image") if files else other
        raise DataError(f"{str(folder)!r} holds {found} and no folders. {LAYOUT}.")


def _images_of(folder: Path, classes: Sequence[str]) -> tuple[FileImages, tuple[str, ...]]:
    """List the images of the classes, each of which has some if it is there, with notes as `_whatever_of` gives."""
    images, notes = _whatever_of(folder, classes)
    present = set(images.labels.tolist())
    for label, name in enumerate(classes):
        if label in present or not (folder / name).is_dir():  # a class that val/ lacks: the caller says so
            continue
        others = images_under(folder / name)[1]
        what = f"{counted(others.total(), 'file')} but no image" if others else "no file"
        known = " ".join(sorted(EXTENSIONS))
        raise DataError(
            f"The class folder {str(folder / name)!r} holds {what}. "
            f"Add images (their names end in {known}), or remove the folder."
        )
    return images, notes
