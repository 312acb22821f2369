"""Parts of images that a network is not shown, for whole batches at once, on the device where they are."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from visiongraft.data.transforms import Rows

AREA = (0.02, 1 / 3)
"""The smallest and the largest share of an image that random erasing takes."""

NARROWEST = 0.3
"""The smallest height over width of what it takes; the largest is its inverse."""


def cutout(pixels: Float[Tensor, "b 3 h w"], side: int, rows: Rows | None = None) -> Float[Tensor, "b 3 h w"]:
    """Set a square of each image to 0, which is the mean colour of normalised pixels.

    Its middle is drawn from all pixels, so that near an edge less of the image is lost.

    Args:
        pixels: normalised.
        side: of the square in pixels; 0 changes nothing.
        rows: which rows of a batch these are; by default all.

    Source: arXiv:1708.04552.
    """
    if side == 0:
        return pixels
    draws = (rows or Rows(len(pixels))).uniform(len(pixels), each=2, device=pixels.device)
    height, width = pixels.shape[2:]
    top, left = (draws[0] * height).floor() - side // 2, (draws[1] * width).floor() - side // 2
    return pixels.masked_fill(_inside(pixels, top, left, top + side, left + side), 0.0)


def erase(
    pixels: Float[Tensor, "b 3 h w"],
    probability: float,
    fill: Literal["pixel", "const"],
    rows: Rows | None = None,
) -> Float[Tensor, "b 3 h w"]:
    """Hide a rectangle of some images.

    Args:
        pixels: normalised.
        probability: of hiding one, for each image; 0 changes nothing.
        fill: with noise in each "pixel", of the deviation of normalised pixels, or with the "const"ant mean colour.
        rows: which rows of a batch these are; by default all.

    Source: arXiv:1708.04896. There a rectangle that does not fit is drawn again; here it is cut to the image. The
    noise is one field for the whole batch, of which each rectangle shows its own part.
    """
    if probability == 0.0:
        return pixels
    draws = (rows or Rows(len(pixels))).uniform(len(pixels), each=5, device=pixels.device)
    height, width = pixels.shape[2:]
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * draws[1])
    shape = torch.exp(math.log(NARROWEST) * (1.0 - 2.0 * draws[2]))
    tall = (area * shape).sqrt().round().clamp(1, height)
    wide = (area / shape).sqrt().round().clamp(1, width)
    top, left = (draws[3] * (height - tall + 1)).floor(), (draws[4] * (width - wide + 1)).floor()
    hidden = _inside(pixels, top, left, top + tall, left + wide) & (draws[0] < probability)[:, None, None, None]
    if fill == "const":
        return pixels.masked_fill(hidden, 0.0)
    return torch.where(hidden, torch.randn_like(pixels[:1]), pixels)


def _inside(pixels: Tensor, top: Tensor, left: Tensor, bottom: Tensor, right: Tensor) -> Bool[Tensor, "b 1 h w"]:
    """Tell which pixels lie in a rectangle of each image, by its edges (b,)."""
    y, x = (torch.arange(side, device=pixels.device) for side in pixels.shape[2:])
    tall = (y >= top[:, None]) & (y < bottom[:, None])  # b h
    wide = (x >= left[:, None]) & (x < right[:, None])  # b w
    return (tall[:, :, None] & wide[:, None, :])[:, None]
