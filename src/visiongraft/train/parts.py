"""Which parts of a step's batch are learnt from, and how much each counts, where images cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from visiongraft.data.loader import FEWEST, Batch


@dataclass(frozen=True)
class Turn:
    """A part of a step's batch that every device learns from, each from its own images.

    Args:
        part: which of a device's parts it is, from 0.
        images: how many of this device's could be read; with none, it takes part for the others' sake.
        weight: what the mean loss of this device's images is multiplied with. The mean of the gradients of all
            devices, summed over the parts, is then the gradient of the mean loss of all images.
        last: whether the step ends with it, and gradients have to be exchanged.
    """

    part: int
    images: int
    weight: float
    last: bool


def turns_of(counts: Sequence[Sequence[int]], rank: int) -> list[Turn]:
    """Say what a device learns from in a step: the same parts as all others, so that nobody waits for anybody.

    A part of which fewer than `FEWEST` images could be read, on all devices together, is left out by all of them.

    Args:
        counts: how many images could be read: of each device, of each of its parts.
        rank: of the device.
    """
    totals = [sum(each) for each in zip(*counts, strict=True)]
    taken = [part for part, total in enumerate(totals) if total >= FEWEST]
    readable = sum(totals[part] for part in taken)
    own = counts[rank]
    return [Turn(part, own[part], own[part] * len(counts) / readable, part == taken[-1]) for part in taken]


def stand_in(batch: Batch) -> Batch:
    """Give one black image in place of a part of which none could be read: a network computes nothing from nothing."""
    images, label = torch.zeros(1, *batch.images.shape[1:], dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    return Batch(images.contiguous(memory_format=torch.channels_last), label, label, ())
