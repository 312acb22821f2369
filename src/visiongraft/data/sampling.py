"""Which images come when, in a training and in a scoring: `loader` says how batches are made of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from visiongraft.data.order import Arranged, Order
from visiongraft.errors import DataError, counted

FEWEST = 2
"""Images that a part of a batch needs, on all devices together: one alone cannot be normalised over the batch."""


class Draw(NamedTuple):
    """One appearance of an image: all that its random changes depend on, beside the seed of the run.

    Where an image appears more than once in an epoch, `copy` tells these apart, from 0.
    """

    epoch: int
    index: int  # type: ignore[assignment]  # hides tuple.index
    copy: int = 0

    def seed(self, run: int) -> int:
        """Give the seed of its changes in a run of a seed."""
        return mix("sample", run, self.epoch, self.index, *([self.copy] if self.copy else []))


@dataclass(frozen=True)
class Share:
    """Which parts of each batch a device takes. A batch is cut into parts of one size; devices take them in turn.

    Args:
        device: this one, from 0.
        devices: how many take part.
        parts: how many of each batch a device takes, one after the other.
    """

    device: int = 0
    devices: int = 1
    parts: int = 1

    @property
    def of(self) -> int:
        """How many parts a batch has."""
        return self.devices * self.parts

    def first(self, part: int, batch_size: int) -> int:
        """Give the place in the batch of the first image of one of this device's parts, counted from 0."""
        return (part * self.devices + self.device) * (batch_size // self.of)


class Ahead(NamedTuple):
    """Somebody who prepares images before they are asked for.

    Args:
        images: how many beyond the present step.
        expect: takes their places in the set, in order, and returns at once.
    """

    images: int
    expect: Callable[[Sequence[int]], None]


class StepSampler(Sampler[list[Draw]]):
    """What a device learns from in a whole run, part after part of step after step.

    The order of an epoch follows from (seed, epoch), and its batches are consecutive pieces of that order; images
    that do not fill a batch at its end are left out. So a run can begin at any step.

    Args:
        size: how many images there are.
        batch_size: images of a step, over all devices.
        epochs: of the run.
        seed: of the run.
        first_step: where to begin, counted from 0.
        share: what this device takes of each batch.
        order: of the images of an epoch; by default each once, at random.
        fewest: images that a part of a batch needs; a detector, whose batch statistics are fixed, learns from one.
        ahead: told, before each step, which images come next, from those of the step on.

    Raises:
        DataError: if a batch cannot be filled even once, or not be cut into equal parts, or these are of one image.
    """

    def __init__(
        self,
        size: int,
        *,
        batch_size: int,
        epochs: int,
        seed: int,
        first_step: int = 0,
        share: Share = Share(),
        order: Order | None = None,
        fewest: int = FEWEST,
        ahead: Ahead | None = None,
    ) -> None:
        if batch_size > size:
            raise DataError(
                f"A batch of {batch_size} images is larger than the data. "
                f"The largest that it can fill is {size}: use --batch-size {size} or less."
            )
        if batch_size % share.of:
            raise DataError(
                f"A batch of {batch_size} images cannot be cut into equal parts for {counted(share.devices, 'device')}"
                f" with {counted(share.parts, 'part')} each. Use a --batch-size that {share.of} divides."
            )
        if batch_size // share.parts < fewest:
            least = fewest * share.of
            fewer = ", or a smaller --grad-accum-steps" if share.parts > 1 else ""
            raise DataError(
                f"A batch of {counted(batch_size, 'image')} in {counted(share.parts, 'part')} leaves parts of one"
                f" image, which cannot be normalised over a batch. Use --batch-size {least} or more{fewer}."
            )
        self.order = order or Order(size)
        self.ahead = ahead
        self.batch_size = batch_size
        self.seed = seed
        self.first_step = first_step
        self.share = share
        self.steps_per_epoch = size // batch_size
        self.steps = self.steps_per_epoch * epochs

    def __len__(self) -> int:
        return (self.steps - self.first_step) * self.share.parts

    def __iter__(self) -> Iterator[list[Draw]]:
        """Go through the rest of the run."""
        order, ordered = Arranged([]), -1
        for step in range(self.first_step, self.steps):
            epoch, place = divmod(step, self.steps_per_epoch)
            if epoch != ordered:
                order, ordered = self._arranged(epoch), epoch
            if self.ahead is not None:
                now = place * self.batch_size
                self.ahead.expect(order.indices[now : now + self.batch_size + self.ahead.images])
            for part in range(self.share.parts):
                begin = place * self.batch_size + self.share.first(part, self.batch_size)
                taken = slice(begin, begin + self.batch_size // self.share.of)
                if order.copies is None:
                    yield [Draw(epoch, index) for index in order.indices[taken]]
                else:
                    yield [Draw(epoch, *each) for each in zip(order.indices[taken], order.copies[taken], strict=True)]

    def _arranged(self, epoch: int) -> Arranged:
        """Give the order of an epoch, counted from 0."""
        generator = torch.Generator().manual_seed(mix("order", self.seed, epoch))
        return self.order.arranged(generator, batch_size=self.batch_size)


class ScoringSampler(Sampler[list[Draw]]):
    """The images of a set in their stored order, batch after batch; every device takes each so-manieth batch.

    The batches are the same on any number of devices, and none is padded: so are the scores, to the last bit.

    Args:
        size: how many images there are.
        batch_size: how many images a batch holds.
        share: which batches this device takes; parts do not count.
    """

    def __init__(self, size: int, *, batch_size: int, share: Share = Share()) -> None:
        if batch_size < 1:
            raise DataError(f"A batch of {batch_size} images is none. Expected at least 1.")
        self.starts = range(batch_size * share.device, size, batch_size * share.devices)
        self.size = size
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Go through this device's batches."""
        for start in self.starts:
            yield [Draw(0, index) for index in range(start, min(start + self.batch_size, self.size))]


def mix(purpose: str, *numbers: int) -> int:
    """Turn a purpose and a position into a seed of 64 bits that resembles no neighbour's.

    Adding them up would give (seed 0, epoch 1) and (seed 1, epoch 0) the same draws.
    """
    words = "/".join([purpose, *map(str, numbers)])
    return int.from_bytes(blake2b(words.encode(), digest_size=8).digest())
