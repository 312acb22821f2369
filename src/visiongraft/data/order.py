"""Which images an epoch shows, and in what order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator

from visiongraft.data.sets import Labels

WINDOW = 16
"""How many chunks images come from at a time: 1 GiB at the usual size of a chunk. With so few in all, it is all."""


class Arranged(NamedTuple):
    """The images of an epoch in order, and which appearance of its image in this epoch each is, where there are more.

    Args:
        indices: places in the set.
        copies: from 0 for the first; None where no image appears twice.
    """

    indices: list[int]
    copies: list[int] | None = None


@dataclass(frozen=True, eq=False)
class Order:
    """How the images of an epoch are chosen and ordered. An epoch shows as many images as the set has.

    Args:
        size: how many images there are.
        repeats: how often each image that is chosen appears, always in the same batch, so that a batch holds fewer
            different ones.
        labels: of the images, where each class is to be shown as often as any other.
        chunks: how many images each chunk holds, where a chunk is to be read about once. Images then come from
            `WINDOW` chunks at a time; unless classes are balanced, for which any image may be the next.
    """

    size: int
    repeats: int = 1
    labels: Labels | None = None
    chunks: tuple[int, ...] = ()

    def arranged(self, generator: Generator, *, batch_size: int) -> Arranged:
        """Draw an epoch's order.

        Args:
            generator: what to draw from.
            batch_size: images of a step, a multiple of `repeats`.
        """
        if self.labels is not None:
            return _balanced(self.labels, self.size, generator)
        if len(self.chunks) > WINDOW:
            order = _by_chunks(self.chunks, generator)
        else:
            order = torch.randperm(self.size, generator=generator).tolist()
        return Arranged(order) if self.repeats == 1 else _repeated(order, self.repeats, batch_size)


def _by_chunks(chunks: Sequence[int], generator: Generator) -> list[int]:
    """Visit chunk after chunk in random order, and move each image back by up to the length of a window.

    So images come from about `WINDOW` chunks at any time, of which one ends where another begins.
    """
    sizes = np.array(chunks, np.int64)
    starts = np.cumsum(sizes) - sizes
    visits = torch.randperm(len(sizes), generator=generator).numpy()
    begins = np.cumsum(sizes[visits]) - sizes[visits]  # the place of each visit in the epoch
    within = np.arange(sizes.sum()) - np.repeat(begins, sizes[visits])
    images = np.repeat(starts[visits], sizes[visits]) + within
    moved = torch.rand(len(images), generator=generator, dtype=torch.float64).numpy() * (WINDOW * sizes.mean())
    found: list[int] = images[np.argsort(np.repeat(begins, sizes[visits]) + moved, kind="stable")].tolist()
    return found


def _repeated(order: list[int], repeats: int, batch_size: int) -> Arranged:
    """Fill each batch with some images and then with the same again, one place on, so that neighbours differ."""
    indices, copies, each = [], [], batch_size // repeats
    for batch in range(len(order) // batch_size):
        chosen = order[batch * each : (batch + 1) * each]
        for copy in range(repeats):
            shift = copy % each
            indices += chosen[shift:] + chosen[:shift]
            copies += [copy] * each
    return Arranged(indices, copies)


def _balanced(labels: Labels, size: int, generator: Generator) -> Arranged:
    """Take equally many images of each class: all of a class before any of them once more."""
    classes = np.unique(labels)
    share, rest = divmod(size, len(classes))
    favoured = set(torch.randperm(len(classes), generator=generator)[:rest].tolist())
    indices: list[int] = []
    copies: list[int] = []
    for place, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        wanted = share + (place in favoured)
        for copy in range(-(-wanted // len(members))):
            taken = min(len(members), wanted - copy * len(members))
            indices += members[torch.randperm(len(members), generator=generator).numpy()[:taken]].tolist()
            copies += [copy] * taken
    order = torch.randperm(size, generator=generator).tolist()
    return Arranged([indices[place] for place in order], [copies[place] for place in order])
