"""How fast networks answer, measured side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from visiongraft.surgery.foreign import Blueprint
from visiongraft.surgery.network import build

_ROUNDS, _FEWEST_ROUNDS = 31, 5
_PATIENCE = 15.0  # seconds after which no further round begins, once there are the fewest
_CALLS = 3  # that are timed together, after one that is not


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
    patience: float = _PATIENCE,
) -> tuple[Speed, ...]:
    """Time the forward pass of several networks, in float32 and eval mode, in turn and in one process.

    A machine's speed drifts. Ratios within a round, in which each network takes its turn, hardly feel it.

    Args:
        specs: the networks, each at its own image size. What their weights are does not matter.
        device: where to compute.
        batch_size: images at a time.
        reference: the place of the network that the ratios are to.
        patience: seconds after which no further round begins.
    """
    pairs = [(build(spec).eval().to(device), _images(spec, batch_size, device)) for spec in specs]
    began = perf_counter()
    rounds: list[list[float]] = []
    with torch.inference_mode():
        for network, images in pairs:
            network(images)  # what is made once
        while len(rounds) < _ROUNDS and (len(rounds) < _FEWEST_ROUNDS or perf_counter() - began < patience):
            rounds.append([_seconds(*pair, device) / batch_size for pair in pairs])
    times = np.array(rounds)  # rounds networks
    ratios = times / times[:, reference, None]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75), axis=0)
    return tuple(
        Speed(
            float(np.median(times[:, place])),
            float(middle[place]),
            (float(low[place]), float(high[place])),
            len(times),
        )
        for place in range(len(specs))
    )


def _images(spec: Blueprint, batch_size: int, device: torch.device) -> Tensor:
    return torch.rand(batch_size, spec.in_chans, *spec.image, device=device)


def _seconds(network: nn.Module, images: Tensor, device: torch.device) -> float:
    network(images)
    _wait(device)
    began = perf_counter()
    for _ in range(_CALLS):
        network(images)
    _wait(device)
    return (perf_counter() - began) / _CALLS


def _wait(device: torch.device) -> None:
    """Let an accelerator finish what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
