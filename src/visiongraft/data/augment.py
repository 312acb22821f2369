"""Changes of single images that torchvision draws: RandAugment and TrivialAugment, by timm's words for them."""

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from visiongraft.data.transforms import PaddedCrop, TrainTransform, to_tensor
from visiongraft.errors import GraftError
from visiongraft.preprocessing import Preprocessing

STRONGEST = 10.0
"""The magnitude at which torchvision's ranges end. timm's and those of RandAugment's authors go on."""

_TENTHS = 10  # magnitudes are rounded to tenths


@dataclass(frozen=True)
class RandPolicy:
    """RandAugment: a few changes in a row, each chosen at random from fourteen.

    Args:
        magnitude: how strong they are, in [0, 10]; 10 turns by 30 degrees.
        deviation: of the magnitude, which is drawn anew for each image.
        ops: how many are chosen.
        probability: of each that it is made.
    """

    magnitude: float = STRONGEST
    deviation: float = 0.0
    ops: int = 2
    probability: float = 0.5


@dataclass(frozen=True)
class TrivialPolicy:
    """TrivialAugment: one change, of a strength that is drawn from a wide range."""


Policy = RandPolicy | TrivialPolicy


def parse_policy(text: str) -> Policy | None:
    """Read what is to be done to single images; None for "none".

    Args:
        text: "trivial"; or "rand" with any of -m9 for a magnitude from 0 to 10, -mstd0.5 for its deviation, -n2 for
            how many changes, -p0.5 for the probability of each, and -inc1. These are timm's words and its defaults:
            magnitude 10, 2 changes, probability 0.5. "inc1" asks for changes that all grow with the magnitude, which
            torchvision's do anyway. A magnitude above 10 is taken for 10.

    Raises:
        GraftError: if it is none of these.
    """
    if text == "none":
        return None
    if text == "trivial":
        return TrivialPolicy()
    name, *parts = text.split("-")
    found: dict[str, float] = {}
    for part in parts:
        match = re.fullmatch(r"(mstd|m|n|p|inc)(\d+(?:\.\d+)?)", part)
        if match:
            found[match[1]] = float(match[2])
    sound = found.get("n", 2.0) % 1 == 0 and found.get("p", 0.5) <= 1 and found.get("inc", 1.0) == 1
    if name != "rand" or len(found) < len(parts) or not sound:
        raise GraftError(f"--aa must be none, trivial, or as rand-m9-mstd0.5-n2, not {text!r}.")
    return RandPolicy(
        min(found.get("m", STRONGEST), STRONGEST), found.get("mstd", 0.0), int(found.get("n", 2)), found.get("p", 0.5)
    )


@dataclass(frozen=True)
class Augmented:
    """A crop whose pixels are then changed by a policy of torchvision's.

    Args:
        crop: what is shown of an image.
        policy: what is done to it. Where a change uncovers what lies beside the image, that is of the mean colour.
    """

    crop: TrainTransform | PaddedCrop
    policy: Policy

    @property
    def pre(self) -> Preprocessing:
        """What the network expects."""
        return self.crop.pre

    def __call__(self, image: Image.Image) -> UInt8[Tensor, "3 h w"]:
        """Transform an image."""
        return to_tensor(self._change(self.crop.show(image)))

    def _change(self, image: Image.Image) -> Image.Image:
        v2 = import_module("torchvision.transforms.v2")  # takes a second, and has no types; few runs need it
        beside = [round(255 * each) for each in self.pre.mean]
        how: dict[str, Any] = {"interpolation": v2.InterpolationMode.BILINEAR, "fill": beside}
        if isinstance(self.policy, TrivialPolicy):
            return v2.TrivialAugmentWide(**how)(image)
        made = int((torch.rand(self.policy.ops) < self.policy.probability).sum())
        if not made:
            return image
        strength = self.policy.magnitude + self.policy.deviation * float(torch.randn(()))
        bins = round(STRONGEST * _TENTHS) + 1
        tenths = min(max(round(strength * _TENTHS), 0), bins - 1)
        return v2.RandAugment(num_ops=made, magnitude=tenths, num_magnitude_bins=bins, **how)(image)
