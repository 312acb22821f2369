"""Mixup and cutmix: images of a batch that hold parts of one another, and labels that say how much."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from visiongraft.kernels.types import Grid

Box = tuple[int, int, int, int]
"""Edges in pixels: top, left, bottom and right."""


@dataclass(frozen=True)
class Blend:
    """How the images of a step are mixed, all in the same way.

    Two that follow one another are partners, the first with the second, the third with the fourth. So they stay
    partners however a batch is cut into parts of an even number; where a part is odd, its last image stays as it is,
    and so does one whose partner is missing.

    Args:
        share: of an image in itself; the rest is its partner's.
        box: the part that is the partner's, where one is pasted; None where all pixels are mixed.
    """

    share: float
    box: Box | None = None

    def images(
        self, pixels: Float[Tensor, "b c h w"], places: Sequence[int] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Mix images; where some are missing, `places` are those of the others."""
        others = pixels[_partners(len(pixels), places, pixels.device)]
        if self.box is None:
            return pixels.lerp(others, 1.0 - self.share)
        top, left, bottom, right = self.box
        mixed = pixels.clone()
        mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return mixed

    def targets(
        self, labels: Int64[Tensor, " b"], classes: int, places: Sequence[int] | None = None
    ) -> Float[Tensor, "b classes"]:
        """Give the share of each class in each of the mixed images, with places as for `images`."""
        own = F.one_hot(labels, classes).float()
        return own.lerp(own[_partners(len(labels), places, labels.device)], 1.0 - self.share)


def _partners(count: int, places: Sequence[int] | None, device: torch.device) -> Int64[Tensor, " count"]:
    if places is None:
        return (torch.arange(count, device=device) ^ 1).clamp_(max=count - 1)
    rows = {place: row for row, place in enumerate(places)}
    return torch.tensor([rows.get(place ^ 1, row) for place, row in rows.items()], device=device)


@dataclass(frozen=True)
class Mixing:
    """How to mix batches.

    Args:
        mixup: concentration of the Beta distribution that shares of two images are drawn from; 0 for no mixup.
        cutmix: the same for the area that is pasted; 0 for no cutmix.
        probability: of mixing a batch at all.
        switch: probability that it is cutmix, where both are on.

    Source: arXiv:1710.09412 and arXiv:1905.04899, with one share for a whole batch, as in timm.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    probability: float = 1.0
    switch: float = 0.5

    def blend(self, seed: int, image: Grid) -> Blend | None:
        """Draw how a batch is mixed; None for not at all.

        Args:
            seed: what is drawn follows from it alone.
            image: height and width in pixels.
        """
        if self.mixup == 0.0 and self.cutmix == 0.0:
            return None
        draws = random.Random(seed)
        if draws.random() >= self.probability:
            return None
        pastes = draws.random() < (self.switch if self.mixup else 1.0) and self.cutmix > 0.0
        concentration = self.cutmix if pastes else self.mixup
        share = draws.betavariate(concentration, concentration)
        if not pastes:
            return Blend(share)
        box = _box(share, image, draws)
        return Blend(1.0 - (box[2] - box[0]) * (box[3] - box[1]) / (image[0] * image[1]), box)


def _box(share: float, image: Grid, draws: random.Random) -> Box:
    """Draw a part of about 1 - `share` of an image; where it reaches over the edge, it is cut there."""
    edges = []
    for side in image:
        half = side * math.sqrt(1.0 - share) / 2.0
        middle = draws.random() * side
        edges.append((max(round(middle - half), 0), min(round(middle + half), side)))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right
