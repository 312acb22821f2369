"""Relative positions on a grid: from stored tables to the terms that attention adds to its logits.

Two kinds of table are in use. CoAtNet stores one number for each head and each offset in the plane, so its
table has a row for each of the 2h-1 vertical and a column for each of the 2w-1 horizontal offsets. BoTNet stores
one vector for each offset along an axis, so it has two tables, of 2h-1 and of 2w-1 vectors.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from visiongraft.kernels.types import Grid


def resize_plane_table(table: Float[Tensor, "n rows columns"], grid: Grid) -> Float[Tensor, "n r c"]:
    """Resample a table of plane offsets for another grid, bilinearly.

    Args:
        table: one number per head and offset, (heads, 2H-1, 2W-1), the offset 0 in the middle.
        grid: height and width in cells, (h, w), that the result is for.

    Returns:
        (heads, 2h-1, 2w-1). The same numbers where the grid is the table's own.

    Source: arXiv:2106.04803, appendix A.1. Offsets keep their meaning relative to the image, since the middle of the
    table stays in the middle.
    """
    height, width = grid
    resized = F.interpolate(
        _exact(table)[None], size=(2 * height - 1, 2 * width - 1), mode="bilinear", align_corners=False
    )
    return resized[0].to(table.dtype)


def resize_axis_table(table: Float[Tensor, "rows d"], length: int) -> Float[Tensor, "r d"]:
    """Resample a table of offsets along one axis for another length, linearly.

    Args:
        table: one vector per offset, (2L-1, d), the offset 0 in the middle.
        length: cells along the axis, l, that the result is for.

    Returns:
        (2l-1, d). The same numbers where `length` is the table's own.
    """
    return resize_cell_table(table, 2 * length - 1)


def resize_cell_table(table: Float[Tensor, "rows d"], length: int) -> Float[Tensor, "r d"]:
    """Resample a table of absolute positions along one axis, (L, d), to (length, d), linearly."""
    resized = F.interpolate(_exact(table).t()[None], size=length, mode="linear", align_corners=False)
    return resized[0].t().to(table.dtype)


def _exact(table: Tensor) -> Tensor:
    """Give a table in float32, or in float64 if it is that already: half precision would blur the offsets."""
    return table.to(torch.promote_types(table.dtype, torch.float32))


def offsets(length: int, device: torch.device) -> Int[Tensor, "i j"]:
    """Give the row of a (2L-1)-row table for each pair of cells on an axis: i - j + L - 1."""
    cells = torch.arange(length, device=device)
    return cells[:, None] - cells[None, :] + (length - 1)


def plane_bias(table: Float[Tensor, "n rows columns"], grid: Grid) -> Float[Tensor, "n l l"]:
    """Look up the bias of every pair of cells: query (i, j) and key (i', j') take offset (i-i', j-j').

    Args:
        table: (heads, 2h-1, 2w-1), already of the size of `grid`.
        grid: height and width in cells, (h, w).

    Returns:
        (heads, h*w, h*w), rows for queries and columns for keys.

    Source: arXiv:2106.04803, section 2.1. The two axes are gathered one after the other, so no index of h*w by h*w
    entries is ever made.
    """
    height, width = grid
    rows = offsets(height, table.device).flatten()
    columns = offsets(width, table.device).flatten()
    bias = table.index_select(1, rows).index_select(2, columns)  # n h*h w*w
    bias = bias.view(-1, height, height, width, width).permute(0, 1, 3, 2, 4)  # n h w h w
    return bias.reshape(-1, height * width, height * width)


def log_offsets(grid: Grid, device: torch.device) -> Float[Tensor, "rows columns two"]:
    """Give the vertical and the horizontal part of every offset in the plane, on a logarithmic scale with its sign.

    Args:
        grid: height and width in cells, (h, w).
        device: where to.

    Returns:
        (2h-1, 2w-1, 2) in float32: sign(d) ln(1 + |d|) for d from 1-h to h-1 and from 1-w to w-1, in cells.

    Source: the continuous relative bias of arXiv:2111.09883, section 3.3, equation 4, as timm's CoAtNets take it: with
    natural logarithms of offsets in cells, where Swin V2's code divides by the window and takes base 8.
    """
    rows, columns = (torch.arange(1 - length, length, device=device).float() for length in grid)
    plane = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    return plane.sign() * plane.abs().log1p()


def axis_vectors(table: Float[Tensor, "rows d"], length: int) -> Float[Tensor, "i j d"]:
    """Look up the vector of every pair of positions on an axis: query i and key j take row (j - i) + (L - 1).

    Args:
        table: (2l-1, d), already of the size of `length`.
        length: cells along the axis.

    Source: the authors' published listing of BoTNet. Its direction, key minus query, is the opposite of CoAtNet's.
    """
    index = offsets(length, table.device).t()
    return table.index_select(0, index.flatten()).view(length, length, -1)
