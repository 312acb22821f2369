"""What timm and the Hugging Face hub want to know of a network: its architecture and its pretrained_cfg."""

from typing import Any

import torch
from torch import nn

from visiongraft.errors import UnknownModel
from visiongraft.families.zoo import customized, get_spec, list_models
from visiongraft.network import CLASSIFIER
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.weights.sources import WeightSet, find_weight_sets, preprocessing_for

PREFIX = "vg_"
"""What the names of our networks begin with in timm's registry."""

UNNAMED = "vg_of_its_own"
"""The architecture of a network that no name of the zoo stands for; timm has none of that name, and says so."""


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
        "crop_mode": "center" if preprocessing.fit == "crop" else "squash",
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "num_classes": spec.head.num_classes,
        "first_conv": _first_conv(spec),
        "classifier": CLASSIFIER,  # also where there is none, so that timm knows which one is fresh if it is asked for
    }


def published_cfgs() -> dict[str, dict[str, Any]]:
    """Describe every network of the zoo with every set of weights that is published for it, as timm's registry wants.

    Returns:
        A pretrained_cfg for each name: "vg_coatnet_0_rw_224.sw_in1k", or without a tag where there are no weights.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in list_models():
        spec = get_spec(name)
        sets = find_weight_sets(name)
        found |= {f"{PREFIX}{each.name}": _published(spec, each) for each in sets}
        if not sets:
            preprocessing = preprocessing_for(name) or Preprocessing()
            found[f"{PREFIX}{name}"] = pretrained_cfg(spec, preprocessing.at(spec.image))
    return found


def _published(spec: Backbone, weights: WeightSet) -> dict[str, Any]:
    cfg = pretrained_cfg(customized(spec, num_classes=weights.num_classes), weights.preprocessing)
    cfg |= {"hf_hub_id": weights.repository, "license": weights.licence}
    if weights.test is not None:
        cfg |= {"test_input_size": (spec.in_chans, *weights.test.image), "test_crop_pct": weights.test.crop}
    return cfg


def _first_conv(spec: Backbone) -> str:
    with torch.device("meta"):
        stem = spec.stem.build(spec.in_chans)
    name = next(name for name, module in stem.named_modules() if isinstance(module, nn.Conv2d))
    return f"stem.{name}".removesuffix(".")
