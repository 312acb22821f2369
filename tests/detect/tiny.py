"""Detectors that are small enough for tests, one for each family, and images with objects."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tests.networks import narrow
from visiongraft.detect.build import build_detector
from visiongraft.detect.value import Detector, Kind
from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Blueprint

KINDS: tuple[Kind, ...] = ("mask_rcnn", "faster_rcnn", "retinanet", "fcos")

FAMILIES = (
    "resnet_pico",
    "nonlocal_resnet50",
    "botnet_pico",
    "botnet_s1_50",
    "cotnet_pico",
    "coatnet_pico",
    "convmixer_pico",
)

UNLIKE = ("botnet_s1_50", "coatnet_pico", "convmixer_pico")
"""Those whose pyramids differ."""

PAIRS = [
    *(("mask_rcnn", network) for network in FAMILIES),
    *((kind, network) for kind in KINDS[1:] for network in UNLIKE),
]
"""Detectors and networks that together have all parts."""


def backbone(name: str, image: int = 64) -> Backbone:
    """Give a network of the zoo with few channels and each kind of block once."""
    spec = narrow(name, num_classes=3)
    return replace(spec, stages=tuple(replace(each, blocks=each.blocks[:2]) for each in spec.stages)).at(image)


def value(kind: Kind, network: str | Blueprint = "botnet_pico", **choices: object) -> Detector:
    """Give a small detector."""
    spec = backbone(network) if isinstance(network, str) else network
    in_groups = kind == "fcos" or choices.get("heads") == "normalised"
    return Detector(kind, spec, **{**CHOICES, "width": 64 if in_groups else 32, **choices})


CHOICES = {"num_classes": 3, "min_size": (64,), "max_size": 96}


def built(kind: Kind, network: str | Blueprint = "botnet_pico", **choices: object) -> nn.Module:
    """Build one, from a seed of its own."""
    torch.manual_seed(0)
    return build_detector(value(kind, network, **choices))


def images_of(*sizes: Grid) -> list[Tensor]:
    """Give images of noise."""
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, *size, generator=generator) for size in sizes]


def target(boxes: Sequence[Sequence[float]], size: Grid, labels: Sequence[int] | None = None) -> dict[str, Tensor]:
    """Give what is to be found in an image of a size: boxes as x0 y0 x1 y1, whose masks fill them."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[int(top) : int(bottom), int(left) : int(right)] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels if labels is not None else [1] * len(boxes), dtype=torch.int64),
        "masks": masks,
    }
