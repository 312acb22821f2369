"""Images with boxes and perhaps masks, whatever files say so, and the two sets that make a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visiongraft.data.images import UnreadableImage, read_image
from visiongraft.detect.faults import Fault
from visiongraft.detect.outlines import Mask, Outline, masks_of
from visiongraft.kernels.types import Grid

Layout = Literal["coco", "yolo", "voc"]
"""Whose files: COCO's json, the text files of YOLO, or the xml files of Pascal VOC."""

Id = int | str
"""What an annotation file calls an image or an object."""

Boxes = NDArray[np.float64]
"""(objects, 4): x0 y0 x1 y1 in pixels from the upper left corner of the image, so that x1 - x0 is a width."""


class Objects(NamedTuple):
    """What is annotated on one image.

    Args:
        boxes: (objects, 4).
        labels: the category of each, from 1.
        crowd: whether it stands for many of a kind, and is neither learnt from nor asked for.
        areas: pixels of each, by which scores tell small from large.
        keys: what the file calls each.
        outlines: the shape of each; none at all where the file has boxes alone.
        size: height and width of the image.
    """

    boxes: Boxes
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    keys: tuple[Id, ...]
    outlines: tuple[Outline | None, ...]
    size: Grid

    def masks(self) -> Mask:
        """Draw the shapes, (objects, height, width) of 0 and 1; all of them have one.

        Raises:
            MissingExtra: if there are polygons, and pycocotools is not installed.
        """
        shapes = [each for each in self.outlines if each is not None]
        assert len(shapes) == len(self.labels), "objects without a shape: `DetectionSet.has_masks` tells"
        return masks_of(shapes, self.size)

    def chosen(self, which: NDArray[np.bool_]) -> "Objects":
        """Keep some objects."""
        places = np.flatnonzero(which).tolist()
        return Objects(
            self.boxes[which],
            self.labels[which],
            self.crowd[which],
            self.areas[which],
            tuple(self.keys[place] for place in places),
            tuple(self.outlines[place] for place in places) if self.outlines else (),
            self.size,
        )


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Image files with what is on them. Objects of one image lie together, in the order of the images.

    Args:
        root: the folder of the images.
        files: paths below it, with forward slashes.
        ids: what the annotation file calls each image.
        sizes: (images, 2): height and width that the annotations are for.
        starts: (images + 1): where the objects of each image begin.
        boxes: (objects, 4).
        labels: the category of each object, from 1.
        crowd: as in `Objects`.
        areas: as in `Objects`.
        keys: as in `Objects`.
        outlines: as in `Objects`; empty where no object has a shape.
    """

    root: Path
    files: tuple[str, ...]
    ids: tuple[Id, ...]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    boxes: Boxes
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    keys: tuple[Id, ...]
    outlines: tuple[Outline | None, ...]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def has_masks(self) -> bool:
        """Tell whether there are objects, and each has a shape."""
        return len(self.outlines) > 0 and all(each is not None for each in self.outlines)

    @property
    def empty(self) -> NDArray[np.int64]:
        """The places of the images that show nothing of any category."""
        return np.flatnonzero(np.diff(self.starts) == 0)

    def objects(self, index: int) -> Objects:
        """Give what is annotated on an image."""
        part = slice(int(self.starts[index]), int(self.starts[index + 1]))
        height, width = self.sizes[index].tolist()
        return Objects(
            self.boxes[part],
            self.labels[part],
            self.crowd[part],
            self.areas[part],
            self.keys[part],
            self.outlines[part],
            (height, width),
        )

    def load(self, index: int) -> Image.Image:
        """Read an image as RGB, so that the annotations fit it.

        It is turned upright by its EXIF orientation, as people saw it when they drew. Where the file of annotations
        states the size that it has before that, and only then, it is left as it is stored.

        Raises:
            UnreadableImage: if it cannot be read, or is of another size than the annotations are for.
        """
        path, (height, width) = self.root / self.files[index], self.sizes[index].tolist()
        image = read_image(path)
        if image.size == (height, width) != (width, height):
            image = read_image(path, orientation="stored")
        if image.size != (width, height):
            found = "{} x {}".format(*image.size)
            raise UnreadableImage(
                self.name_of(index), f"it has {found} pixels, and its annotations are for {width} x {height}"
            )
        return image

    def name_of(self, index: int) -> str:
        """Give the path of an image."""
        return str(self.root / self.files[index])

    def subset(self, indices: Sequence[int]) -> "DetectionSet":
        """Keep some of the images, in the order given."""
        chosen = [np.arange(self.starts[index], self.starts[index + 1]) for index in indices]
        places = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
        return DetectionSet(
            self.root,
            tuple(self.files[index] for index in indices),
            tuple(self.ids[index] for index in indices),
            self.sizes[list(indices)],
            np.cumsum([0, *map(len, chosen)]),
            self.boxes[places],
            self.labels[places],
            self.crowd[places],
            self.areas[places],
            tuple(self.keys[place] for place in places.tolist()),
            tuple(self.outlines[place] for place in places.tolist()) if self.outlines else (),
        )


@dataclass(frozen=True, eq=False)
class DetectionData:
    """A data set: what to learn from, what to be scored on, and what the categories are called.

    Args:
        name: what the user called it.
        layout: whose files they are.
        categories: the name of each category; a label is a place in this tuple, counted from 1.
        category_ids: what the annotation files call each of them.
        train: the images to learn from; none where only `val` was asked for.
        val: the images to be scored on.
        notes: what the user should know of how it was read, one sentence each.
        faults: what was wrong with the files, mended or not.
    """

    name: str
    layout: Layout
    categories: tuple[str, ...]
    category_ids: tuple[Id, ...]
    train: DetectionSet
    val: DetectionSet
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def has_masks(self) -> bool:
        """Tell whether every object of both sets has a shape."""
        return self.val.has_masks and (len(self.train) == 0 or self.train.has_masks)
