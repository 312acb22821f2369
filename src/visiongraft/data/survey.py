"""One pass over the images of a data set, which keeps a hundred bytes of each: size, hashes, colours, faults."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from visiongraft.data.duplicates import are_flat, digest, perceptual_hashes, shrunk
from visiongraft.data.findings import Places
from visiongraft.data.images import UnreadableImage
from visiongraft.data.oddities import ODDITIES, oddities_of
from visiongraft.data.reading import leave_interrupts_to_the_main_process
from visiongraft.data.sets import FileImages, ImageData, ImageSet, Labels

BATCH = 64
"""How many images a process looks at before it hands on what it saw."""


class Sight(NamedTuple):
    """What is seen of one image."""

    size: tuple[int, int]
    digest: bytes
    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    gray: NDArray[np.float32]
    oddities: int


class Sights(NamedTuple):
    """What is seen of several images, row by row; rows of images that cannot be read are zeros.

    Args:
        sizes: (b, 2) height and width in pixels, upright.
        digests: (b, 2) two numbers that images share which are equal to the last pixel.
        hashes: (b, 16) perceptual hashes.
        flat: (b,) whether an image shows next to nothing.
        means: (b, 3) of red, green and blue, on the scale 0 to 1.
        squares: (b, 3) means of their squares.
        oddities: (b,) a bit for each of `ODDITIES`, in their order.
        errors: why an image cannot be read, by row.
    """

    sizes: NDArray[np.int32]
    digests: NDArray[np.uint64]
    hashes: NDArray[np.uint16]
    flat: NDArray[np.bool_]
    means: NDArray[np.float32]
    squares: NDArray[np.float32]
    oddities: NDArray[np.uint16]
    errors: dict[int, str]


@dataclass(frozen=True, eq=False)
class Survey:
    """What was seen of a whole data set; places count the images to learn from first, then those to be scored on.

    Args:
        data: the data set.
        seen: a row for each image.
    """

    data: ImageData
    seen: Sights

    def __len__(self) -> int:
        return len(self.seen.sizes)

    @cached_property
    def labels(self) -> Labels:
        """The class of each image."""
        return np.concatenate([self.data.train.labels, self.data.val.labels])

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """Which images are to be scored on."""
        return np.arange(len(self)) >= len(self.data.train)

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """Which images can be read."""
        return self.seen.sizes[:, 0] > 0

    @cached_property
    def alike(self) -> Places:
        """The images whose looks can be compared: those that can be read and show something."""
        return np.flatnonzero(self.readable & ~self.seen.flat)

    def odd(self, name: str) -> Places:
        """Give the images that have one of `ODDITIES`."""
        return np.flatnonzero(self.seen.oddities & np.uint16(1 << _BITS[name]))

    def name_of(self, place: int) -> str:
        """Say where an image is: a path, or a place such as `train[17]`."""
        learnt = len(self.data.train)
        return self.data.train.name_of(place) if place < learnt else self.data.val.name_of(place - learnt)


_BITS = {name: bit for bit, name in enumerate(ODDITIES)}


def survey(data: ImageData, *, workers: int = 0, on_images: Callable[[int], None] | None = None) -> Survey:
    """Read every image once.

    Args:
        data: the data set; pixels are not kept.
        workers: processes that read beside this one; 0 reads in this one.
        on_images: told, after each batch, how many images were read in it.
    """
    blocks = []
    for images in (data.train, data.val):
        if len(images) == 0:
            continue
        loader = DataLoader(
            _Looking(images),
            batch_size=BATCH,
            num_workers=workers,
            collate_fn=_rows,
            worker_init_fn=leave_interrupts_to_the_main_process,
        )
        for rows in loader:
            blocks.append(rows)
            if on_images is not None:
                on_images(len(rows.sizes))
    return Survey(data, _joined(blocks))


class _Looking(Dataset["Sight | str"]):
    """Looks at images: gives what is seen, or why there is nothing to see."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sight | str:
        """Look at one image."""
        try:
            image = self.images.load(index)
        except UnreadableImage as error:
            return error.reason
        mean, square = _moments(image)
        names = oddities_of(self.images.root / self.images.files[index]) if isinstance(self.images, FileImages) else ()
        oddities = sum(1 << _BITS[name] for name in names)
        return Sight((image.height, image.width), digest(image), mean, square, shrunk(image), oddities)


def _moments(image: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the means of the pixels and of their squares for red, green and blue, on the scale 0 to 1."""
    shares = np.array(image.histogram(), np.float64).reshape(3, 256) / (image.width * image.height)
    levels = np.arange(256) / 255
    return shares @ levels, shares @ levels**2


def _rows(sights: Sequence[Sight | str]) -> Sights:
    """Put what was seen of a few images into rows."""
    count = len(sights)
    seen = [each for each in sights if isinstance(each, Sight)]
    rows = [row for row, each in enumerate(sights) if isinstance(each, Sight)]
    made = _zeros(count)
    made.errors.update({row: each for row, each in enumerate(sights) if isinstance(each, str)})
    if seen:
        grays = np.stack([each.gray for each in seen])
        made.sizes[rows] = [each.size for each in seen]
        made.digests[rows] = np.frombuffer(b"".join(each.digest for each in seen), np.uint64).reshape(-1, 2)
        made.hashes[rows] = perceptual_hashes(grays)
        made.flat[rows] = are_flat(grays)
        made.means[rows] = [each.mean for each in seen]
        made.squares[rows] = [each.square for each in seen]
        made.oddities[rows] = [each.oddities for each in seen]
    return made


def _zeros(count: int) -> Sights:
    return Sights(
        np.zeros((count, 2), np.int32),
        np.zeros((count, 2), np.uint64),
        np.zeros((count, 16), np.uint16),
        np.zeros(count, np.bool_),
        np.zeros((count, 3), np.float32),
        np.zeros((count, 3), np.float32),
        np.zeros(count, np.uint16),
        {},
    )


def _joined(blocks: Sequence[Sights]) -> Sights:
    """Put rows of several batches behind one another."""
    blocks = blocks or [_zeros(0)]
    starts = np.cumsum([0, *(len(each.sizes) for each in blocks)])
    shifted = {
        int(start) + row: why
        for start, block in zip(starts[:-1], blocks, strict=True)
        for row, why in block.errors.items()
    }
    return Sights(
        np.concatenate([each.sizes for each in blocks]),
        np.concatenate([each.digests for each in blocks]),
        np.concatenate([each.hashes for each in blocks]),
        np.concatenate([each.flat for each in blocks]),
        np.concatenate([each.means for each in blocks]),
        np.concatenate([each.squares for each in blocks]),
        np.concatenate([each.oddities for each in blocks]),
        shifted,
    )
