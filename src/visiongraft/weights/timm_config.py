"""What timm and the Hugging Face hub want to know of a network: its architecture and its pretrained_cfg."""

from typing import Any

import torch
from torch import nn

from visiongraft.errors import UnknownModel
from visiongraft.families.zoo import customized, get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone

PREFIX = "vg_"
"""What the names of our networks begin with in timm's registry."""

UNNAMED = "vg_of_its_own"
"""The architecture of a network that no name of the zoo stands for; timm has none of that name, and says so."""

CLASSIFIER = "head.classifier"
"""The module that gives the logits."""


def architecture(spec: Backbone) -> str:
    """Give the name that timm builds a network by, other classes, channels, sizes and dropout aside."""
    try:
        listed = get_spec(spec.name)
    except UnknownModel:
        return UNNAMED
    same = customized(
        listed,
        num_classes=spec.head.num_classes,
        in_chans=spec.in_chans,
        image=spec.image,
        drop_path=spec.drop_path,
        dropout=spec.head.dropout,
    )
    return f"{PREFIX}{listed.name}" if same == spec else UNNAMED


def pretrained_cfg(spec: Backbone, preprocessing: Preprocessing) -> dict[str, Any]:
    """Describe a network's input and the ends of it that depend on input and classes, with timm's words.

    Args:
        spec: the network.
        preprocessing: what images go through.
    """
    return {
        "input_size": (spec.in_chans, *preprocessing.image),
        "pool_size": spec.grids(preprocessing.image)[-1],
        "interpolation": preprocessing.interpolation,
        "crop_pct": preprocessing.crop,
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "num_classes": spec.head.num_classes,
        "first_conv": _first_conv(spec),
        "classifier": CLASSIFIER if spec.head.num_classes else None,
    }


def _first_conv(spec: Backbone) -> str:
    with torch.device("meta"):
        stem = spec.stem.build(spec.in_chans)
    name = next(name for name, module in stem.named_modules() if isinstance(module, nn.Conv2d))
    return f"stem.{name}".removesuffix(".")
