"""How fast images arrive: what the loader gives a network in a second, measured on the machine at hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

import numpy as np

from visiongraft.data.loader import Batch, Samples, make_loader
from visiongraft.data.sampling import StepSampler
from visiongraft.data.sets import ImageSet
from visiongraft.data.transforms import TrainTransform
from visiongraft.data.views import cut_out
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import Preprocessing

BATCH = 64
"""How many images a batch holds, or all that there are."""

ROUNDS = 9
"""How many times are measured at least; their median counts."""

SHORTEST = 2.0
"""Before so many seconds the measuring does not end, since other work may come between for a moment."""

LONGEST = 20.0
"""After so many seconds no further round begins."""


@dataclass(frozen=True)
class Delivery:
    """What was measured.

    Args:
        images_per_second: decoded, cropped at random and resized; the median of the rounds.
        image: height and width in pixels of what is delivered.
        workers: processes that read and resize beside the main one.
        rounds: how many times were measured.
        batches: in a round: one for each process, since their batches arrive in bunches.
        batch_size: images in a batch.
    """

    images_per_second: float
    image: Grid
    workers: int
    rounds: int
    batches: int
    batch_size: int


def measure_delivery(images: ImageSet, image: Grid, *, workers: int = 0) -> Delivery:
    """Measure how many images per second the loader delivers, with the crops and mirroring that a training draws.

    What is done to whole batches on the way (jitter, turns, mixing) is not in it: that runs where the network does.
    The first batches, for which processes start, do not count.

    Args:
        images: those to learn from, at least one.
        image: height and width in pixels that the network is shown.
        workers: processes that read images beside this one.
    """
    samples = Samples(images, TrainTransform(Preprocessing(image)))
    size, together = min(BATCH, len(images)), max(workers, 1)
    endless = StepSampler(len(samples), batch_size=size, epochs=_EPOCHS, seed=samples.seed)
    batches = iter(make_loader(samples, endless, workers=workers))
    _take(batches, 2 * together)
    began = perf_counter()
    rates: list[float] = []
    start = began
    while not rates or start - began < (LONGEST if len(rates) < ROUNDS else SHORTEST):
        done = _take(batches, together)
        start, before = perf_counter(), start
        rates.append(done / (start - before))
    return Delivery(float(np.median(rates)), image, workers, len(rates), together, size)


_EPOCHS = 10**9  # more than are begun in `LONGEST`


def _take(batches: Iterator[Batch], number: int) -> int:
    """Wait for some batches, show what the loader left whole, and count the images."""
    images = 0
    for batch in islice(batches, number):
        if batch.views is not None:
            cut_out(batch.images, batch.views)
        images += len(batch.indices) + len(batch.failures)
    return images
