"""Which parts of a step's batch are learnt from, and how much each counts, where images cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass

from visiongraft.data.sampling import FEWEST


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


def turns_of(counts: Sequence[Sequence[int]], rank: int, *, fewest: int = FEWEST) -> list[Turn]:
    """Say what a device learns from in a step: the same parts as all others, so that nobody waits for anybody.

    Args:
        counts: how many images could be read: of each device, of each of its parts.
        rank: of the device.
        fewest: a part of which fewer images could be read, on all devices together, is left out by all of them.
    """
    totals = [sum(each) for each in zip(*counts, strict=True)]
    taken = [part for part, total in enumerate(totals) if total >= fewest]
    readable = sum(totals[part] for part in taken)
    own = counts[rank]
    return [Turn(part, own[part], own[part] * len(counts) / readable, part == taken[-1]) for part in taken]
