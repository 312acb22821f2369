"""A set of images with labels, wherever the pixels lie, and the two sets that make a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visiongraft.data.images import read_image

Labels = NDArray[np.int64]
"""The class of each image, from 0."""

Pixels = NDArray[np.uint8]
"""Images of one size: (count, height, width), or the same with 1, 3 or 4 channels as a last axis."""

Parts = Literal["both", "val"]
"""What is wanted of a data set: all of it, or only the images that it is scored on."""


@runtime_checkable
class ImageSet(Protocol):
    """A sequence of images with labels."""

    @property
    def labels(self) -> Labels:
        """The class of each image."""

    @property
    def native(self) -> tuple[int, int] | None:
        """Height and width where all images are known to share them, otherwise None."""

    def __len__(self) -> int:
        """How many images there are."""

    def load(self, index: int) -> Image.Image:
        """Give an image as RGB, or raise `UnreadableImage`."""

    def name_of(self, index: int) -> str:
        """Say where an image is, for errors and reports: a path, or a place such as `train[17]`."""


@dataclass(frozen=True, eq=False)
class FileImages:
    """Image files under one folder, read when they are asked for.

    Args:
        root: the folder.
        files: paths relative to it, with forward slashes.
        labels: the class of each file.
    """

    root: Path
    files: tuple[str, ...]
    labels: Labels

    @property
    def native(self) -> None:
        """Unknown before every file has been opened."""
        return

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> Image.Image:
        """Read a file, as `read_image` does."""
        return read_image(self.root / self.files[index])

    def name_of(self, index: int) -> str:
        """Give the path of a file."""
        return str(self.root / self.files[index])

    def subset(self, indices: Sequence[int]) -> "FileImages":
        """Keep some of the files, in the order given."""
        return FileImages(self.root, tuple(self.files[index] for index in indices), self.labels[list(indices)])


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images of one size, held in memory.

    Args:
        name: what the set is called, such as "train".
        pixels: gray (count, height, width) or (count, height, width, channels); a fourth channel is dropped, as it
            is in files.
        labels: the class of each image.
        names: what each image is called, where they have names.
    """

    name: str
    pixels: Pixels
    labels: Labels
    names: tuple[str, ...] = ()

    @property
    def native(self) -> tuple[int, int]:
        """Height and width of all images."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, index: int) -> Image.Image:
        """Give an image as RGB."""
        pixels = self.pixels[index]  # h w, or h w c
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        image = Image.fromarray(pixels)
        return image if image.mode == "RGB" else image.convert("RGB")

    def stack(self, indices: Sequence[int]) -> Pixels:
        """Give several images as RGB, (count, height, width, 3)."""
        pixels = self.pixels[list(indices)]
        return pixels[..., :3] if pixels.ndim == 4 and pixels.shape[3] > 1 else _colored(pixels)

    def name_of(self, index: int) -> str:
        """Give the name of an image, or its place in the set."""
        return self.names[index] if self.names else f"{self.name}[{index}]"


def _colored(gray: Pixels) -> Pixels:
    return np.repeat(gray if gray.ndim == 4 else gray[..., None], 3, axis=3)


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set: what to learn from, what to be scored on, and what the classes are called.

    Args:
        name: what the user called it.
        classes: the name of each class; a label is a place in this tuple.
        train: the images to learn from; none where only `val` was asked for.
        val: the images to be scored on.
        notes: what the user should know of how it was read, one sentence each.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSet
    val: ImageSet
    notes: tuple[str, ...] = ()

    @property
    def native(self) -> tuple[int, int] | None:
        """Height and width where all images are known to share them, otherwise None."""
        return self.val.native if len(self.train) == 0 or self.train.native == self.val.native else None


def no_images() -> FileImages:
    """Give the training set of a data set of which only `val` was asked for."""
    return FileImages(Path(), (), np.zeros(0, np.int64))
