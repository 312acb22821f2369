"""What is asked of a network when it is timed."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visiongraft.kernels.types import Grid

Precision = Literal["float32", "bfloat16"]
Mode = Literal["eager", "folded", "compiled", "exported"]
Direction = Literal["inference", "training"]

PRECISIONS, MODES, DIRECTIONS = map(get_args, (Precision, Mode, Direction))

_SEED = 0


@dataclass(frozen=True)
class Case:
    """What is asked of a network.

    Args:
        model: its name in the zoo.
        image: height and width in pixels.
        batch_size: images at a time.
        precision: number format of the arithmetic; weights are float32.
        mode: "eager" as it is written, "folded" likewise, but ours as `fold` makes it for inference, "compiled" by
            `torch.compile`, "exported" as a graph of `torch.export`.
        direction: "inference" for logits; "training" for a step: logits, loss, gradients, SGD.
    """

    model: str
    image: Grid
    batch_size: int = 8
    precision: Precision = "float32"
    mode: Mode = "eager"
    direction: Direction = "inference"

    @property
    def words(self) -> str:
        """The case in a few words, without the network."""
        height, width = self.image
        size = f"{height}" if height == width else f"{height}x{width}"
        return f"{size} px, batch {self.batch_size}, {self.precision}, {self.mode}, {self.direction}"


def images_of(case: Case, in_chans: int, device: torch.device) -> Tensor:
    """Draw images, (b, c, h, w), the same ones each time."""
    source = torch.Generator().manual_seed(_SEED)
    return torch.randn(case.batch_size, in_chans, *case.image, generator=source).to(device)


def precise(case: Case, device: torch.device) -> AbstractContextManager[Any]:
    """Give the arithmetic of a case."""
    return torch.autocast(device.type, torch.bfloat16) if case.precision == "bfloat16" else nullcontext()


def action(network: nn.Module, case: Case, images: Tensor) -> Callable[[], Tensor]:
    """Give what is timed: a call that answers about a batch, or that learns from it.

    Args:
        network: on the device of the images; it is put into the mode, eval or train, that the direction needs.
        case: what is asked.
        images: in the memory format that suits the network.
    """
    network.train(case.direction == "training")
    run = _run(network, case, images)
    if case.direction == "training":
        return _step(network, run, case, images)

    def answer() -> Tensor:
        with torch.inference_mode(), precise(case, images.device):
            return run(images)

    return answer


def _run(network: nn.Module, case: Case, images: Tensor) -> Callable[[Tensor], Tensor]:
    """Give what computes logits."""
    if case.mode == "exported":
        with precise(case, images.device):  # whose casts become part of the graph
            return torch.export.export(network, (images,)).module()
    if case.mode == "compiled":
        return torch.compile(network, **COMPILER[case.direction])
    return network


COMPILER: Mapping[Direction, Mapping[str, Any]] = {
    "inference": {"dynamic": False, "options": {"freezing": True}},  # weights become constants, as in deployment
    "training": {"dynamic": False},
}
"""What `torch.compile` is told."""


def _step(network: nn.Module, run: Callable[[Tensor], Tensor], case: Case, images: Tensor) -> Callable[[], Tensor]:
    """Give a step of training, whose rate is so small that nothing changes."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9, momentum=0.9, fused=True)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)

    def learn() -> Tensor:
        with precise(case, images.device):
            loss = F.cross_entropy(run(images).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return learn
