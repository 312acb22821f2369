"""Pictures of files that are decoded once, and kept in memory for the epochs that follow."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visiongraft.data.images import declared_pixels
from visiongraft.data.memory import memory_of_machine
from visiongraft.data.sets import FileImages, ImageData, Pixels
from visiongraft.errors import DataError

Cache = Literal["auto", "ram", "none"]
"""Whether the pictures of files stay in memory: where they take little of it, wherever they fit, or never."""

_SHARES = {"auto": 20, "ram": 2}
"""Which part of the memory pictures may take at the most."""

_UNKNOWN = 20 * 2**30
"""Taken for the memory of a machine that does not tell."""

_ASKED = 100
"""How many files, out of the whole set, tell at first whether their pictures can possibly fit."""


@dataclass(frozen=True, eq=False)
class KeptImages(FileImages):
    """Image files whose pictures, once read, are in memory: whole, as they were decoded.

    The memory is shared with the processes that this one forks, so that what one of them has read is there for all.
    Where processes are not forked they read files, as `FileImages` does.

    Args:
        starts: where the bytes of each picture begin, and where the last one's end. What cannot be read has none.
        sizes: height and width of each picture that is there; 0 of those that are not yet.
        pixels: of all pictures, one after the other.
    """

    starts: NDArray[np.int64]
    sizes: NDArray[np.int32]
    pixels: Pixels

    def load(self, index: int) -> Image.Image:
        """Give a picture, from its file when it is asked for for the first time."""
        place = slice(self.starts[index], self.starts[index + 1])
        height, width = self.sizes[index]
        if height:
            return Image.fromarray(self.pixels[place].reshape(height, width, 3))
        image = super().load(index)
        if image.width * image.height * 3 == place.stop - place.start:  # as its header said
            self.pixels[place] = np.asarray(image).ravel()
            self.sizes[index] = image.height, image.width  # last: from here on others take the picture
        return image

    def subset(self, indices: Sequence[int]) -> FileImages:
        """Keep some of the files, in the order given, in a memory of their own."""
        return _kept(super().subset(indices), np.diff(self.starts)[list(indices)].tolist())

    def __reduce__(self) -> tuple[type[FileImages], tuple[object, ...]]:
        """Travel to processes that share no memory as the files alone."""
        return FileImages, (self.root, self.files, self.labels)


def kept_in_memory(data: ImageData, cache: Cache, *, processes: int = 1) -> ImageData:
    """Let the pictures of a folder stay in memory once they are read. What is not in files is given back as it is.

    How large pictures are is read from the beginnings of the files: of some, and where these leave hope, of all.

    Args:
        data: a data set.
        cache: "auto" keeps them where all of them take a twentieth of this machine's memory at the most, "ram" where
            they take half of it at the most, "none" never.
        processes: how many processes of this machine keep them.

    Raises:
        DataError: if they are to be kept and are too many.
    """
    train, val = data.train, data.val
    if cache == "none" or type(train) is not FileImages or type(val) is not FileImages:
        return data
    limit = (memory_of_machine() or _UNKNOWN) // _SHARES[cache] // processes
    sizes = _sizes([train, val], limit)
    taken = sum(map(sum, sizes)) if sizes else 0
    try:
        kept = [_kept(each, size) for each, size in zip((train, val), sizes or (), strict=bool(sizes))]
    except (OSError, ValueError, OverflowError):  # the system grants less than it has
        kept = []
    if not kept:
        if cache == "auto":
            return data
        raise DataError(
            f"--cache ram came, and the pictures of {data.name} take more than the {limit / 1e9:,.1f} GB that may be"
            " taken here, half of the memory over all processes. Use --cache none, or smaller pictures."
        )
    note = f"The pictures of {data.name} stay in memory once read, {max(taken / 1e6, 0.1):,.1f} MB in all."
    return replace(data, train=kept[0], val=kept[1], notes=(*data.notes, note))


def _sizes(sets: Sequence[FileImages], limit: int) -> list[list[int]] | None:
    """Give the bytes of each picture of each set; None where they are more than a limit."""
    paths = [images.root / name for images in sets for name in images.files]
    some = paths[:: max(len(paths) // _ASKED, 1)]
    if sum(3 * declared_pixels(each) for each in some) * len(paths) > 2 * limit * len(some):
        return None  # all of a large set would take minutes to ask
    found, taken = [], 0
    for images in sets:
        found.append(list[int]())
        for name in images.files:
            found[-1].append(3 * declared_pixels(images.root / name))
            taken += found[-1][-1]
            if taken > limit:
                return None
    return found


def _kept(images: FileImages, sizes: Sequence[int]) -> KeptImages:
    """Provide the memory for pictures. The system gives it where something is written."""
    starts = np.array([0, *accumulate(sizes)], np.int64)
    room = _shared(int(starts[-1]))
    places = _shared(8 * len(images)).view(np.int32).reshape(-1, 2)[: len(images)]
    return KeptImages(images.root, images.files, images.labels, starts, places, room)


def _shared(size: int) -> Pixels:
    """Give so many bytes, all 0, shared with processes that are forked from here on. /dev/shm would often be small."""
    return np.frombuffer(mmap.mmap(-1, max(size, 8)), np.uint8)
