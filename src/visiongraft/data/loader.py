"""Batches whose content follows from (seed, epoch, index) alone, with any number of workers.

Samplers hand out pairs of epoch and index, and the generators are seeded from the pair before a sample is made. So no
worker has to be told of a new epoch, and a run that stops and starts again sees what it would have seen.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from visiongraft.data.images import UnreadableImage
from visiongraft.data.reading import leave_interrupts_to_the_main_process
from visiongraft.data.sampling import Draw
from visiongraft.data.sets import ArrayImages, ImageSet
from visiongraft.data.transforms import PaddedCrop, TrainTransform, Transform
from visiongraft.data.views import Views

B = TypeVar("B")
Memory = Literal["pageable", "pinned"]

_MOST_PIXELS = 4
"""How many pixels a picture in memory may have for each one shown, for whole pictures to be resampled at once."""


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


def allowed_failures(share: float, images: int) -> float:
    """Give how many images may be unreadable of so many, where a share of them may be.

    One is within any share but none: of few images it would be more than most shares.
    """
    return max(1.0, share * images) if share else 0.0


class Batch(NamedTuple):
    """Images with labels. Those that could not be read are missing from the tensors, which may hold none at all.

    Where there are `views`, the images are whole pictures, of which `cut_out` shows these parts. Where images are
    missing, `places` says where the others would be if they were not, counted from 0; None where none is.
    """

    images: UInt8[Tensor, "b 3 h w"]
    labels: Int64[Tensor, " b"]
    indices: Int64[Tensor, " b"]
    failures: tuple[Failure, ...]
    views: Views | None = None
    places: tuple[int, ...] | None = None

    def to(self, device: torch.device) -> "Batch":
        """Give the batch on a device; from pinned memory it travels while the device computes."""
        views = self.views and self.views._replace(parts=self.views.parts.to(device, non_blocking=True))
        images, labels = self.images.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)
        return self._replace(images=images, labels=labels, views=views)

    @property
    def readable(self) -> int:
        """How many images there are."""
        return len(self.labels)

    @property
    def size(self) -> str:
        """Height and width of the images, in words."""
        height, width = self.images.shape[2:] if self.views is None else self.views.size
        return f"{height} x {width}"

    def first(self, number: int) -> "Batch":
        """Keep the first images."""
        views = self.views and self.views._replace(parts=self.views.parts[:number])
        images, labels, indices = self.images[:number], self.labels[:number], self.indices[:number]
        places = self.places and self.places[:number]
        return self._replace(images=images, labels=labels, indices=indices, views=views, places=places)

    def blank(self) -> "Batch":
        """Give one black image in place of a batch of none: a network computes nothing from nothing."""
        images, label = torch.zeros(1, *self.images.shape[1:], dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
        return Batch(images.contiguous(memory_format=torch.channels_last), label, label, ())


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

        Small pictures in memory of which a `TrainTransform` or a `PaddedCrop` would cut out parts come as a batch of
        whole ones with views, drawn as it draws them: to cut them out at once takes less time
        (docs/decisions/0002-house.md), unless they have many more pixels than are shown.
        """
        transform = self._transform(draws[0].epoch)
        with _generators_kept():
            # Of these very types: what inherits from them may do something else.
            if type(self.images) is ArrayImages and type(transform) in (TrainTransform, PaddedCrop):
                assert isinstance(transform, TrainTransform | PaddedCrop)
                if _worth_views(self.images.native, transform):
                    return self._view(self.images, transform, draws)
            return [self._make(draw) for draw in draws]

    def _make(self, draw: Draw) -> Sample | Failure:
        """Make one sample from freshly seeded generators."""
        _seed_generators(draw.seed(self.seed))
        try:
            image = self.images.load(draw.index)
        except UnreadableImage as error:
            return Failure(draw.index, error.name, error.reason)
        return Sample(self._transform(draw.epoch)(image), int(self.images.labels[draw.index]), draw.index)

    def _view(self, images: ArrayImages, transform: TrainTransform | PaddedCrop, draws: Sequence[Draw]) -> Batch:
        """Give whole pictures, and what to show of each."""
        height, width = images.native
        parts = []
        for draw in draws:
            torch.default_generator.manual_seed(draw.seed(self.seed))
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


def _worth_views(native: tuple[int, int], transform: TrainTransform | PaddedCrop) -> bool:
    """Tell whether pictures of one size are cut out at once. A margin is around those of the shape shown."""
    height, width = transform.pre.image
    if isinstance(transform, PaddedCrop) and native[0] * width != native[1] * height:
        return False
    return math.prod(native) <= _MOST_PIXELS * math.prod(transform.pre.image)


def make_loader(
    samples: Samples, sampler: Sampler[list[Draw]], *, workers: int = 0, memory: Memory = "pageable"
) -> DataLoader[Batch]:
    """Batch images with labels. Arguments as in `loader_of`."""
    made_by = partial(collate, image=samples.transforms[-1].pre.image)
    return loader_of(samples, sampler, made_by, workers=workers, memory=memory)


def loader_of(
    samples: Dataset[Any], sampler: Sampler[list[Draw]], collate: Callable[[Any], B], *, workers: int, memory: Memory
) -> DataLoader[B]:
    """Batch samples, in this process or in others. The batches are the same.

    Args:
        samples: what to batch.
        sampler: what each batch holds.
        collate: makes a batch of samples.
        workers: processes that prepare batches; 0 prepares them here.
        memory: "pinned" batches travel to a GPU while it computes.
    """
    return DataLoader(
        samples,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=memory == "pinned",
        worker_init_fn=leave_interrupts_to_the_main_process,
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
    places = tuple(place for place, each in enumerate(samples) if isinstance(each, Sample))
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
        places=places if failures else None,
    )


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
