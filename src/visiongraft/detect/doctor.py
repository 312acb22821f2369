"""What is wrong with a data set with boxes, found before the first step. Nothing is mended here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from visiongraft.data.checks import FEW, check_files
from visiongraft.data.copies import check_copies
from visiongraft.data.findings import Finding, Places, by_severity, named, severity_of, share_of
from visiongraft.data.images import image_size
from visiongraft.data.sets import FileImages, ImageData
from visiongraft.data.survey import Survey, survey
from visiongraft.detect.annotations import DetectionData, DetectionSet
from visiongraft.detect.faults import SORTS, Fault, FaultKind
from visiongraft.errors import counted

MOST = 100
"""COCO's scores look at no more detections of an image than so many."""


TINY = 2
"""Pixels: a box that is smaller shows nothing."""


@dataclass(frozen=True, eq=False)
class FaultFinding(Finding):
    """Faults of one sort. They may be of images that are not in the set, so they say themselves where they are.

    Args:
        faults: all of them.
    """

    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, eq=False)
class DetectionDiagnosis:
    """What was found.

    Args:
        data: the images and what is annotated on them.
        seen: what the images are.
        findings: the grave ones first.
    """

    data: DetectionData
    seen: Survey
    findings: tuple[Finding, ...]

    @property
    def grave(self) -> int:
        """How many findings are grave."""
        return sum(each.severity == "grave" for each in self.findings)

    @cached_property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many objects each category has to learn from, and to be scored on; crowds do not count."""
        return counts_of(self.data.train, len(self.data.categories)), counts_of(
            self.data.val, len(self.data.categories)
        )


def counts_of(images: DetectionSet, categories: int) -> NDArray[np.int64]:
    """Count the objects of each category, without crowds."""
    return np.bincount(images.labels[~images.crowd] - 1, minlength=categories)


def examine_detection(
    data: DetectionData, *, workers: int = 0, on_images: Callable[[int], None] | None = None
) -> DetectionDiagnosis:
    """Read every image once, and look for all that is known to go wrong with boxes and masks.

    Args:
        data: as `list_detection` gives it, with faults that were not mended.
        workers: processes that read images beside this one.
        on_images: told now and then how many more images were read.
    """
    seen = survey(
        ImageData(data.name, ("image",), _files(data.train), _files(data.val)), workers=workers, on_images=on_images
    )
    findings = [*_check_faults(data), *check_files(seen), *_check_sizes(data, seen), *_check_copies(seen)]
    findings += [
        *_check_objects(data),
        *_check_boxes(data),
        *_check_images(data),
        *_check_shapes(data),
        *_check_categories(data),
    ]
    return DetectionDiagnosis(data, seen, by_severity(findings))


def _files(images: DetectionSet) -> FileImages:
    """Give the images without what is on them."""
    return FileImages(images.root, images.files, np.zeros(len(images), np.int64))


def _check_faults(data: DetectionData) -> Iterator[Finding]:
    """Tell what the reader stumbled over, by sorts."""
    sorted_out: dict[FaultKind, list[Fault]] = {}
    for fault in data.faults:
        sorted_out.setdefault(fault.kind, []).append(fault)
    for kind, faults in sorted_out.items():
        sort = SORTS[kind]
        yield FaultFinding(
            kind,
            "grave",
            f"{sort.what}: {len(faults):,}",
            f"{sort.remedy}, or train with --fix {sort.fix}: until then a training refuses the data",
            faults=tuple(faults),
        )


def _check_copies(seen: Survey) -> Iterator[Finding]:
    """Look for images that are there more than once; they have no classes here."""
    for each in check_copies(seen):
        yield replace(each, what=each.what.replace(" of their class", ""))


def _check_sizes(data: DetectionData, seen: Survey) -> Iterator[Finding]:
    """Look for images of another size than their annotations are for, and for those that these have lying."""
    stated = np.concatenate([data.train.sizes, data.val.sizes])
    other = seen.readable & (seen.seen.sizes != stated).any(axis=1)
    lying = np.zeros(len(seen), np.bool_)
    details = {}
    for place in np.flatnonzero(other).tolist():
        height, width = stated[place].tolist()
        images, index = _set_of(data, place)
        if image_size(images.root / images.files[index], orientation="stored") == (height, width):
            lying[place] = True
        else:
            rows, columns = seen.seen.sizes[place].tolist()
            details[place] = f"it has {columns} x {rows} pixels, its annotations are for {width} x {height}"
    resized = np.flatnonzero(other & ~lying)
    if len(resized):
        yield Finding(
            "resized",
            severity_of(len(resized), len(seen)),
            f"Images of another size than their annotations are for: {share_of(len(resized), len(seen))}",
            "Bring the images that were annotated: these cannot be read, as if they were damaged",
            resized,
            details=details,
        )
    if lying.any():
        yield Finding(
            "lying",
            "warning",
            f"Images that their camera turned, with annotations stated to be for the pixels as stored: "
            f"{share_of(int(lying.sum()), len(seen))}",
            "They are shown as stored. Look at some: several programs state this size of boxes drawn upright; "
            "if so, swap height and width in the file",
            np.flatnonzero(lying),
        )


def _set_of(data: DetectionData, place: int) -> tuple[DetectionSet, int]:
    """Find the set of an image, and its place there."""
    learnt = len(data.train)
    return (data.train, place) if place < learnt else (data.val, place - learnt)


def _per_image(data: DetectionData, chosen: Callable[[DetectionSet], NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Count the chosen objects of each image."""
    parts = []
    for images in (data.train, data.val):
        running = np.concatenate([[0], np.cumsum(chosen(images))])
        parts.append(running[images.starts[1:]] - running[images.starts[:-1]])
    return np.concatenate(parts).astype(np.int64)


def _check_boxes(data: DetectionData) -> Iterator[Finding]:
    """Look for objects that come twice, and for boxes of next to nothing."""
    doubles = _per_image(data, _doubles)
    if doubles.any():
        yield Finding(
            "repeated_object",
            "warning",
            f"Objects of the same category in the same box, which count double: {int(doubles.sum()):,}",
            "Remove all but one: a detector that finds it once has missed the others",
            np.flatnonzero(doubles),
        )
    slips = _per_image(data, lambda images: (images.boxes[:, 2:] - images.boxes[:, :2]).min(axis=1) < TINY)
    if slips.any():
        yield Finding(
            "tiny",
            "warning",
            f"Boxes of less than {TINY} pixels in width or height: {int(slips.sum()):,}",
            "Look at them: most are slips of the mouse, and nothing that small is found",
            np.flatnonzero(slips),
        )


def _check_objects(data: DetectionData) -> Iterator[Finding]:
    """Look for a part without any object, of which crowds are none."""
    for use, images in (("learn from", data.train), ("be scored on", data.val)):
        if images.crowd.all():
            what = f"There is no object to {use} in {counted(len(images), 'image')}"
            yield Finding(
                f"nothing_to_{use.replace(' ', '_')}", "grave", what, "Add some: a training refuses the data"
            )


def _check_images(data: DetectionData) -> Iterator[Finding]:
    """Look for crowds, images without objects, and those with very many."""
    total = len(data.train) + len(data.val)
    crowds = _per_image(data, lambda images: images.crowd)
    if crowds.any():
        number, objects = int(crowds.sum()), len(data.train.labels) + len(data.val.labels)
        yield Finding(
            "crowd",
            "note",
            f"Objects that are crowds, or difficult: {share_of(number, objects)}",
            "They are not learnt from, and what is found in them is neither right nor wrong",
            np.flatnonzero(crowds),
        )
    background: Places = np.concatenate([data.train.empty, len(data.train) + data.val.empty])
    if len(background):
        yield Finding(
            "background",
            "warning" if 2 * len(background) > total else "note",
            f"Images without any object: {share_of(len(background), total)}",
            "If they show none, they teach what is nothing; if they do, nobody annotated them",
            background,
        )
    many = np.flatnonzero(_per_image(data, lambda images: ~images.crowd) > MOST)
    if len(many):
        yield Finding(
            "many",
            "note",
            f"Images with more than {MOST} objects: {share_of(len(many), total)}",
            f"COCO's scores count the {MOST} surest detections of an image, so not all of these can be found",
            many,
        )


def _doubles(images: DetectionSet) -> NDArray[np.bool_]:
    """Tell which objects have the category and the box of an earlier one of their image."""
    owners = np.repeat(np.arange(len(images)), np.diff(images.starts))
    rows = np.column_stack([owners, images.labels, images.boxes])
    _, first = np.unique(rows, axis=0, return_index=True)
    double = np.ones(len(rows), np.bool_)
    double[first] = False
    return double


def _check_shapes(data: DetectionData) -> Iterator[Finding]:
    """Look for objects without a shape where others have one, and for shapes that cover no pixel."""
    bare = _per_image(data, _bare)
    objects = len(data.train.labels) + len(data.val.labels)
    if bare.any() and bare.sum() < objects:
        yield Finding(
            "shapeless",
            "warning",
            f"Objects without a shape, where others have one: {share_of(int(bare.sum()), objects)}",
            "Draw them, or only boxes can be learnt",
            np.flatnonzero(bare),
        )
    hollow = _per_image(data, _hollow)
    if hollow.any():
        yield Finding(
            "hollow_shape",
            "warning",
            f"Shapes that cover no pixel: {share_of(int(hollow.sum()), objects)}",
            "Draw them again: a detector of masks is not shown these objects",
            np.flatnonzero(hollow),
        )


def _bare(images: DetectionSet) -> NDArray[np.bool_]:
    return np.array([each is None for each in images.outlines] or [True] * len(images.labels), np.bool_)


def _hollow(images: DetectionSet) -> NDArray[np.bool_]:
    """Tell which shapes cover no pixel. Of polygons only small ones are drawn to see it."""
    hollow = np.zeros(len(images.labels), np.bool_)
    owners = np.repeat(np.arange(len(images)), np.diff(images.starts))
    for place, outline in enumerate(images.outlines):
        if outline is not None and outline.area < _SURE:
            height, width = images.sizes[owners[place]].tolist()
            hollow[place] = not outline.mask((height, width)).any()
    return hollow


_SURE = 16.0  # pixels: a shape of more covers one, unless it is far thinner than objects are


def _check_categories(data: DetectionData) -> Iterator[Finding]:
    """Look at how many objects each category has."""
    learnt, scored = (counts_of(each, len(data.categories)) for each in (data.train, data.val))
    if ((learnt == 0) & (scored > 0)).any():
        what = f"Categories that val has and train lacks: {named(data.categories, (learnt == 0) & (scored > 0))}"
        yield Finding("val_only", "warning", what, "Annotate some in train: what is not learnt cannot be found")
    if ((learnt > 0) & (scored == 0)).any():
        what = f"Categories that val lacks: {named(data.categories, (learnt > 0) & (scored == 0))}"
        yield Finding("unscored", "warning", what, "Nothing tells how well they are learnt: annotate some in val")
    if (learnt + scored == 0).any():
        what = f"Categories without any object: {named(data.categories, learnt + scored == 0)}"
        yield Finding("unused", "note", what, "Nothing has to be done: they are never found")
    few = (learnt > 0) & (learnt < FEW)
    if few.any():
        what = f"Categories of fewer than {counted(FEW, 'object')} to learn from: {named(data.categories, few)}"
        yield Finding("few", "warning", what, "Annotate more of them, or merge them with others")
