"""Which part of each picture a batch shows, and the resampling that shows it, for the whole batch at once."""

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import Interpolation


class View(NamedTuple):
    """The part of a picture that is shown: its edges in pixels, and whether it is mirrored left and right.

    What lies beyond the picture is black.
    """

    left: float
    top: float
    right: float
    bottom: float
    mirrored: bool


class Views(NamedTuple):
    """The views of a batch of pictures that are still whole.

    Args:
        parts: left, top, right and bottom in pixels, and 1 or 0 for mirrored or not.
        size: height and width in pixels of what each is to be shown as.
        interpolation: the filter that resizes.
    """

    parts: Float[Tensor, "b 5"]
    size: Grid
    interpolation: Interpolation


def cut_out(pictures: UInt8[Tensor, "b 3 h w"], views: Views) -> Float[Tensor, "b 3 high wide"]:
    """Show the views of pictures, as Pillow's `resize(size, box=...)` shows them one after another.

    Each side is resized by a matrix that holds the filter's weights, so that all pictures of a batch are resized by
    two products, on their device. The filters are Pillow's, which average over all pixels that an output pixel
    covers. Pillow also rounds and clips between its two steps, which shows where a bicubic filter shoots over black or
    white.

    Returns:
        Pixels from 0 to 255, channels-last in memory.
    """
    left, top, right, bottom, mirrored = views.parts.unbind(1)  # b each
    (batch, colors, height, width), (high, wide) = pictures.shape, views.size
    down = _weights(top, bottom, height, high, views.interpolation)
    across = _weights(left, right, width, wide, views.interpolation)
    across = torch.where(mirrored[:, None, None] > 0, across.flip(1), across)
    with torch.autocast(pictures.device.type, enabled=False):  # half precision would tell neighbours apart badly
        rows = torch.bmm(down, pictures.permute(0, 2, 1, 3).float().flatten(2))  # b high 3w
        shown = torch.bmm(rows.view(batch, high * colors, width), across.mT).view(batch, high, colors, wide)
    return shown.permute(0, 2, 1, 3).clamp(0.0, 255.0).contiguous(memory_format=torch.channels_last)


def _weights(
    first: Tensor, last: Tensor, count: int, wanted: int, interpolation: Interpolation
) -> Float[Tensor, "b wanted count"]:
    """Give how much each of `count` pixels in a line counts for each of `wanted` ones between two of its places."""
    step = ((last - first) / wanted)[:, None]  # b 1
    middles = first[:, None] + step * (torch.arange(wanted, device=first.device) + 0.5)  # b wanted
    places = torch.arange(count, device=first.device) + 0.5
    distances = ((places - middles[..., None]) / step.clamp(min=1.0)[..., None]).abs_()
    weights = (1.0 - distances).clamp_(min=0.0) if interpolation == "bilinear" else _cubic(distances)
    # A filter that averages would smear the picture's edge beyond it.
    weights *= ((middles > 0) & (middles < count))[..., None]
    return weights / weights.sum(-1, keepdim=True).clamp(min=_NOTHING)  # beside the picture all is black


_NOTHING = 1e-6


def _cubic(distances: Tensor) -> Tensor:
    """Give Keys' cubic with a = -1/2 at distances from 0: it has a branch up to 1, another up to 2, and ends there."""
    one, two = (1.0 - distances).clamp_(min=0.0), (2.0 - distances).clamp_(min=0.0)
    return two * two * (0.5 * two - 0.5) + one * one * (1.0 - 2.0 * one)
