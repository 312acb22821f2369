"""Data with boxes and masks, from whatever files of annotations a folder holds."""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from visiongraft.data.folder import HELD_OUT, UNSEEN_NAME, position
from visiongraft.data.sets import Parts
from visiongraft.data.walk import folders_in, images_under
from visiongraft.detect.annotations import DetectionData, DetectionSet, Layout
from visiongraft.detect.coco import find_coco
from visiongraft.detect.faults import Fault, Fix, Mending, refuse_faults
from visiongraft.detect.sources import PartName, Source
from visiongraft.detect.voc import find_voc
from visiongraft.detect.yolo_labels import find_yolo
from visiongraft.errors import DataError, counted

Opener = Callable[[], Source]
"""Opens the files of a part."""

FINDERS: dict[Layout, Callable[[Path], Mapping[PartName, Opener]]] = {
    "coco": find_coco,
    "yolo": find_yolo,
    "voc": find_voc,
}
"""What finds the files of each layout in a folder, in the order in which they are tried."""

EXPECTED = (
    "Expected COCO's json (annotations/instances_train.json, instances_train.json or train/_annotations.coco.json), "
    "YOLO's data.yaml, or VOC's Annotations/ with xml files"
)


def open_detection(
    data: str | Path, *, parts: Parts = "both", fix: Sequence[Fix] = (), categories: Sequence[str] = ()
) -> DetectionData:
    """Open a folder of images with boxes, and perhaps masks.

    Args:
        data: the folder. COCO's json, YOLO's text files and VOC's xml files are told apart by what is there.
        parts: "val" reads only what to be scored on.
        fix: what to do about faults, where something is to be done: "drop" leaves out objects and images that have
            some, "clip" cuts boxes off at the edges of their image. Files are never changed.
        categories: the names of those that are known, that of label 1 first; by default those that the files list, or
            of VOC's those that come up in what to learn from.

    Returns:
        The data set, whose images are read when they are asked for. Without a part to be scored on, a fifth is held
        out by the names of the files, as of classification.

    Raises:
        DataError: in one line, if there are no such files, or faults that are not to be mended.
        MissingExtra: if polygons cannot be drawn.
    """
    found = list_detection(data, parts=parts, fix=fix, categories=categories)
    _refuse_strangers(found.faults, categories)
    refuse_faults(found.name, found.faults)
    for which, chosen in (("learn from", found.train), ("be scored on", found.val)):
        if chosen.crowd.all() and not (which == "learn from" and parts == "val"):
            raise DataError(f"{found.name!r} has no object to {which} in {counted(len(chosen), 'image')}. Add some.")
    return found


def list_detection(
    data: str | Path, *, parts: Parts = "both", fix: Sequence[Fix] = (), categories: Sequence[str] = ()
) -> DetectionData:
    """Open a folder as `open_detection` does, also where a training would refuse it for its faults.

    Raises:
        DataError: if no image with annotations can be found.
    """
    root = Path(os.path.expanduser(data))  # noqa: PTH111 - Path.expanduser raises where there is no such user
    layout, openers = _found(str(data), root)
    train, val, notes = _chosen(str(data), openers, parts)
    first = train or val
    assert first is not None, "one of them is there, or an error"
    ids = {name: key for key, name in first.categories.items()}
    numbers = {name: label for label, name in enumerate(categories or ids, start=1)}
    mending = Mending(tuple(fix))
    faults: list[Fault] = []

    def gathered(source: Source) -> DetectionSet:
        labels = {key: numbers[name] for key, name in source.categories.items() if name in numbers}
        gathering = source.gathered(labels, mending)
        faults.extend(gathering.faults)
        return gathering.finished()

    if val is None:
        assert train is not None
        learnt, scored = hold_out(gathered(train))
        notes += (
            f"{str(data)!r} comes without val: {counted(len(scored), 'image')} of {len(learnt) + len(scored):,}"
            " held out by file name.",
        )
    else:
        scored = gathered(val)
        learnt = gathered(train) if train is not None else scored.subset([])
    if parts == "val":
        learnt = learnt.subset([])
    known = tuple(ids.get(name, name) for name in numbers)
    return DetectionData(str(data), layout, tuple(numbers), known, learnt, scored, notes, tuple(faults))


def _refuse_strangers(faults: Sequence[Fault], known: Sequence[str]) -> None:
    """Refuse objects of categories that are none of those that are known, unless they are left out.

    Raises:
        DataError: if there are some.
    """
    strange = [each for each in faults if each.kind == "unknown_category" and not each.mended]
    if known and strange:
        listed = f"{', '.join(known[:_SHOWN])}{', ...' if len(known) > _SHOWN else ''}"
        raise DataError(
            f"{strange[0]}: known are {listed} ({counted(len(known), 'category')}). Use data with these categories;"
            f" --fix drop leaves out {counted(len(strange), 'object')} of others."
        )


def is_detection(data: str | Path) -> bool:
    """Tell whether a folder holds files of annotations, without reading them."""
    root = Path(os.path.expanduser(data))  # noqa: PTH111 - as above
    return root.is_dir() and any(find(root) for find in FINDERS.values())


def hold_out(images: DetectionSet) -> tuple[DetectionSet, DetectionSet]:
    """Hold a fifth of the images out for scoring, chosen by the names of their files alone.

    Raises:
        DataError: if there are fewer than two images.
    """
    if len(images) < 2:
        raise DataError(
            f"{str(images.root)!r} has {counted(len(images), 'image')} with annotations. At least 2 are needed, one to"
            " learn from and one to be scored on."
        )
    places = np.array([position(each) for each in images.files])
    held_out = places < HELD_OUT
    if not held_out.any():
        held_out[places.argmin()] = True
    if held_out.all():
        held_out[places.argmax()] = False
    return images.subset(np.flatnonzero(~held_out).tolist()), images.subset(np.flatnonzero(held_out).tolist())


def _found(name: str, root: Path) -> tuple[Layout, Mapping[PartName, Opener]]:
    """Find the files of annotations of a folder."""
    try:
        kind = root.stat().st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{name!r} cannot be opened: {getattr(error, 'strerror', error)}. {EXPECTED}.") from None
    if not stat.S_ISDIR(kind):
        raise DataError(f"{name!r} is a file, and a folder is wanted. {EXPECTED}.")
    for layout, find in FINDERS.items():
        openers = find(root)
        if openers:
            return layout, openers
    raise DataError(f"{name!r} holds {_contents(root)}, and no annotations of objects. {EXPECTED}.")


def _contents(root: Path) -> str:
    """Say what is in a folder where something else was expected."""
    folders = [f"{each.name}/" for each in folders_in(root)]
    files, others = images_under(root)
    words = [*folders[:_SHOWN], *(["..."] if len(folders) > _SHOWN else [])]
    inside = f" in {', '.join(words)}" if words else ""
    return f"{counted(len(files), 'image')} and {counted(others.total(), 'other file')}{inside}"


_SHOWN = 4


def _chosen(
    name: str, openers: Mapping[PartName, Opener], parts: Parts
) -> tuple[Source | None, Source | None, tuple[str, ...]]:
    """Open what is wanted: to learn from, to be scored on (None where it is to be held out), and notes."""
    learnt = openers.get("train") or openers.get("all")
    scored = openers.get("val") or openers.get("test")
    if learnt is None and parts == "both":
        raise DataError(
            f"{name!r} has objects to be scored on, but none to learn from: there is no part called train."
        )
    notes: tuple[str, ...] = ()
    if scored is not None and "val" not in openers:
        notes = (f"{name!r} comes without val: {UNSEEN_NAME} takes its place.",)
    val = scored() if scored is not None else None
    train = learnt() if learnt is not None and (parts == "both" or val is None) else None
    return train, val, notes
