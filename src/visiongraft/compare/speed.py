"""How fast networks answer, measured side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from visiongraft.surgery.foreign import Blueprint
from visiongraft.surgery.network import build
from visiongraft.turns import PATIENCE, take_turns


@dataclass(frozen=True)
class Speed:
    """How long a network takes for an image.

    Args:
        seconds: the median of the rounds.
        ratio: to the reference, round by round: the median.
        quartiles: of these ratios.
        rounds: how often each network was timed, in turn with the others.
    """

    seconds: float
    ratio: float
    quartiles: tuple[float, float]
    rounds: int


def measure_speeds(
    specs: Sequence[Blueprint],
    *,
    device: torch.device,
    batch_size: int = 1,
    reference: int = 0,
    patience: float = PATIENCE,
) -> tuple[Speed, ...]:
    """Time the forward pass of several networks, in float32 and eval mode, in turn and in one process.

    Args:
        specs: the networks, each at its own image size. What their weights are does not matter.
        device: where to compute.
        batch_size: images at a time.
        reference: the place of the network that the ratios are to.
        patience: seconds after which no further round begins.
    """
    things = [
        partial(build(spec).eval().to(device), torch.rand(batch_size, spec.in_chans, *spec.image, device=device))
        for spec in specs
    ]
    with torch.inference_mode():
        for each in things:
            each()  # what is made once
        turns = take_turns(things, device=device, patience=patience)
    found = []
    for place in range(len(specs)):
        low, middle, high = turns.ratios(place, reference)
        found.append(Speed(turns.median(place) / batch_size, middle, (low, high), turns.rounds))
    return tuple(found)
