"""The local filter of CoTNet: every cell mixes its neighbourhood with a kernel of its own."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from visiongraft.kernels.types import Path

Maps = Float[Tensor, "b c h w"]
Kernels = Float[Tensor, "b m k h w"]


def local_filter_plain(value: Maps, kernels: Kernels) -> Maps:
    """Sum each cell's k x k neighbourhood with the weights that belong to the cell: the definition.

    y[b, c, i, j] = sum over p, q of kernels[b, c mod m, k*p + q, i, j] * value[b, c, i+p-k//2, j+q-k//2]

    Args:
        value: (batch, channels, h, w), taken as zero outside the grid.
        kernels: (batch, m, k*k, h, w), for an odd k and an m that divides the channels. Channels c, c+m, c+2m, ...
            share a kernel.

    Source: arXiv:2107.12292 and the authors' code. There is no softmax.
    """
    batch, channels, height, width = value.shape
    shared, taps = kernels.shape[1], kernels.shape[2]
    side = _side(taps)
    neighbours = F.unfold(value, side, padding=side // 2)  # b c*taps l
    neighbours = neighbours.view(batch, channels // shared, shared, taps, height * width)
    mixed = torch.einsum("bgmkl,bmkl->bgml", neighbours, kernels.flatten(3).to(value.dtype))
    return mixed.reshape(batch, channels, height, width)


def local_filter_fused(value: Maps, kernels: Kernels) -> Maps:
    """`local_filter_plain` as one multiply-add of the shifted map per tap: no neighbourhood is ever stored."""
    batch, channels, height, width = value.shape
    shared, taps = kernels.shape[1], kernels.shape[2]
    side = _side(taps)
    margin = side // 2
    kernels = kernels.to(value.dtype)
    padded = F.pad(value, (margin, margin, margin, margin))
    padded = padded.unflatten(1, (channels // shared, shared))  # b g m h+2r w+2r
    mixed = None
    for tap in range(side * side):
        top, left = divmod(tap, side)
        shifted = padded[..., top : top + height, left : left + width]
        weighted = shifted * kernels[:, None, :, tap]
        mixed = weighted if mixed is None else mixed + weighted
    assert mixed is not None
    return mixed.flatten(1, 2)


def local_filter(value: Maps, kernels: Kernels, *, path: Path = "auto") -> Maps:
    """`local_filter_plain`, by the form that measured best."""
    chosen = local_filter_plain if path == "plain" else local_filter_fused
    return chosen(value, kernels)


def _side(taps: int) -> int:
    """Give the side of a square window. `torch.jit.trace` counts in tensors, and a window's size is none of them."""
    return round(int(taps) ** 0.5)
