"""Batches whose content follows from (seed, epoch, index) alone, with any number of workers.

The sampler hands out pairs of epoch and index, and the generators are seeded from the pair before a sample is made. So
no worker has to be told of a new epoch, and a run that stops and starts again sees what it would have seen.
"""

import math
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from visiongraft.data.images import UnreadableImage
from visiongraft.data.sets import ArrayImages, ImageSet
from visiongraft.data.transforms import TrainTransform, Transform
from visiongraft.data.views import Views
from visiongraft.errors import DataError

_MOST_PIXELS = 4
"""How many pixels a picture in memory may have for each one shown, for whole pictures to be resampled at once."""

Order = Literal["shuffled", "sequential"]
"""In which order an epoch goes through the images: another one each epoch, or always the stored one."""


class Draw(NamedTuple):
    """One appearance of an image: all that its random changes depend on, beside the seed of the run."""

    epoch: int
    index: int  # type: ignore[assignment]  # hides tuple.index


class Sample(NamedTuple):
    """An image ready to be batched."""

    image: UInt8[Tensor, "3 h w"]
    label: int
    index: int  # type: ignore[assignment]  # hides tuple.index


class Failure(NamedTuple):
    """An image that could not be read, in place of its sample."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    name: str
    reason: str


class Batch(NamedTuple):
    """Images with labels. Those that could not be read are missing from the tensors, which may hold none at all.

    Where there are `views`, the images are whole pictures, of which `cut_out` shows these parts.
    """

    images: UInt8[Tensor, "b 3 h w"]
    labels: Int64[Tensor, " b"]
    indices: Int64[Tensor, " b"]
    failures: tuple[Failure, ...]
    views: Views | None = None


class Samples(Dataset[Sample | Failure]):
    """Images under a transform, each drawn as (seed, epoch, index) says.

    Args:
        images: where they come from.
        transform: what is done to each. Given one per epoch, the last one stays for all further epochs: so images may
            grow while a network learns.
        seed: of the run.
    """

    def __init__(self, images: ImageSet, transform: Transform | Sequence[Transform], *, seed: int = 0) -> None:
        self.images = images
        self.transforms = tuple(transform) if isinstance(transform, Sequence) else (transform,)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Sample | Failure:
        """Make one sample."""
        with _generators_kept():
            return self._make(draw)

    def __getitems__(self, draws: Sequence[Draw]) -> list[Sample | Failure] | Batch:
        """Make what `collate` takes for a batch; torch calls this where it exists.

        Small pictures in memory of which a `TrainTransform` would cut out parts come as a batch of whole ones with
        views, drawn as it draws them: to cut them out at once takes less time (docs/decisions/0002-house.md), unless
        they have many more pixels than are shown.
        """
        transform = self._transform(draws[0].epoch)
        with _generators_kept():
            # Of these very types: what inherits from them may do something else.
            if type(self.images) is ArrayImages and type(transform) is TrainTransform:
                pixels, shown = math.prod(self.images.native), math.prod(transform.pre.image)
                if pixels <= _MOST_PIXELS * shown:
                    return self._view(self.images, transform, draws)
            return [self._make(draw) for draw in draws]

    def _make(self, draw: Draw) -> Sample | Failure:
        """Make one sample from freshly seeded generators."""
        _seed_generators(mix("sample", self.seed, *draw))
        try:
            image = self.images.load(draw.index)
        except UnreadableImage as error:
            return Failure(draw.index, error.name, error.reason)
        return Sample(self._transform(draw.epoch)(image), int(self.images.labels[draw.index]), draw.index)

    def _view(self, images: ArrayImages, transform: TrainTransform, draws: Sequence[Draw]) -> Batch:
        """Give whole pictures, and what to show of each."""
        height, width = images.native
        parts = []
        for draw in draws:
            torch.default_generator.manual_seed(mix("sample", self.seed, *draw))
            parts.append(transform.draw((width, height)))
        indices = [draw.index for draw in draws]
        return Batch(
            torch.from_numpy(images.stack(indices)).permute(0, 3, 1, 2),  # b 3 h w
            torch.from_numpy(images.labels[indices]),
            torch.tensor(indices),
            (),
            Views(torch.tensor(parts, dtype=torch.float32), transform.pre.image, transform.pre.interpolation),
        )

    def _transform(self, epoch: int) -> Transform:
        """Give the transform of an epoch."""
        return self.transforms[min(epoch, len(self.transforms) - 1)]


class EpochSampler(Sampler[Draw]):
    """The order of an epoch, which follows from (seed, epoch).

    Lightning calls `set_epoch` by itself.

    Args:
        size: how many images there are.
        order: "shuffled" or "sequential".
        seed: of the run.
    """

    def __init__(self, size: int, *, order: Order, seed: int = 0) -> None:
        self.size = size
        self.order = order
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Draw]:
        """Go through the epoch."""
        if self.order == "shuffled":
            generator = torch.Generator().manual_seed(mix("order", self.seed, self.epoch))
            indices = torch.randperm(self.size, generator=generator).tolist()
        else:
            indices = list(range(self.size))
        epoch = self.epoch
        return (Draw(epoch, index) for index in indices)


def make_loader(
    samples: Samples,
    *,
    batch_size: int,
    order: Order,
    last_batch: Literal["keep", "drop"] = "keep",
    workers: int = 0,
    memory: Literal["pageable", "pinned"] = "pageable",
) -> DataLoader[Batch]:
    """Batch samples, in this process or in others.

    Call `loader.sampler.set_epoch(epoch)` before each epoch; Lightning does.

    Args:
        samples: what to batch; its seed also shuffles.
        batch_size: how many images a batch holds.
        order: "shuffled" to learn, "sequential" to score.
        last_batch: what becomes of the images that do not fill a batch.
        workers: processes that prepare batches; 0 prepares them here. The batches are the same.
        memory: "pinned" batches travel to a GPU while it computes.

    Raises:
        DataError: if a batch cannot be filled even once. To score, a larger batch than the data is no fault.
    """
    if batch_size < 1:
        raise DataError(f"A batch of {batch_size} images is none. Expected at least 1.")
    if batch_size > len(samples) and (order == "shuffled" or last_batch == "drop"):
        raise DataError(
            f"A batch of {batch_size} images is larger than the data. "
            f"The largest that it can fill is {len(samples)}: use --batch-size {len(samples)} or less."
        )
    return DataLoader(
        samples,  # type: ignore[arg-type]  # of samples; what the loader gives is what `collate` makes of them
        batch_size=batch_size,
        sampler=EpochSampler(len(samples), order=order, seed=samples.seed),
        drop_last=last_batch == "drop",
        num_workers=workers,
        collate_fn=partial(collate, image=samples.transforms[-1].pre.image),
        pin_memory=memory == "pinned",
        persistent_workers=workers > 0,
        worker_init_fn=_leave_interrupts_to_the_main_process,
        generator=torch.Generator(),  # its own, or starting an epoch would draw from the global one
    )


def collate(samples: Sequence[Sample | Failure] | Batch, *, image: tuple[int, int]) -> Batch:
    """Put samples into tensors, images in channels-last order, and failures aside.

    Args:
        samples: of one size, or a batch, which is passed on.
        image: height and width of a batch without any image.
    """
    if isinstance(samples, Batch):
        return samples
    made = [each for each in samples if isinstance(each, Sample)]
    failures = tuple(each for each in samples if isinstance(each, Failure))
    size = made[0].image.shape[1:] if made else image
    images = torch.empty(len(made), *size, 3, dtype=torch.uint8)  # b h w 3
    for place, sample in enumerate(made):
        images[place] = sample.image.permute(1, 2, 0)
    return Batch(
        images.permute(0, 3, 1, 2),  # b 3 h w
        torch.tensor([each.label for each in made], dtype=torch.int64),
        torch.tensor([each.index for each in made], dtype=torch.int64),
        failures,
    )


def mix(purpose: str, *numbers: int) -> int:
    """Turn a purpose and a position into a seed of 64 bits that resembles no neighbour's.

    Adding them up would give (seed 0, epoch 1) and (seed 1, epoch 0) the same draws.
    """
    words = "/".join([purpose, *map(str, numbers)])
    return int.from_bytes(blake2b(words.encode(), digest_size=8).digest())


def _seed_generators(seed: int) -> None:
    """Seed what a transform may draw from. torchvision's draw from torch, others from Python's or numpy's."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Restore the global generators afterwards: what a network draws must not depend on the data before it."""
    kept_torch, kept_python, kept_numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(kept_torch)
        random.setstate(kept_python)
        np.random.set_state(kept_numpy)


def _leave_interrupts_to_the_main_process(worker: int) -> None:
    """Ignore Ctrl-C, which reaches every process: the main one saves what was learnt, and then ends the others."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
