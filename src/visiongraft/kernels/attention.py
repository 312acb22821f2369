"""Softmax attention over the cells of a grid, with the two kinds of relative position, and that of a public listing.

Every function takes queries as they are multiplied: already scaled by head_dim ** -0.5, since BoTNet scales them
before the content and before the position logits alike, or not scaled at all, as in the listing.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from visiongraft.kernels.types import Path

Heads = Float[Tensor, "b n l d"]
Values = Float[Tensor, "b n l e"]
Rows = Float[Tensor, "h h d"]
Columns = Float[Tensor, "w w d"]


def attention_plain(query: Heads, key: Heads, value: Values, bias: Float[Tensor, "n l l"] | None = None) -> Values:
    """Mix values by softmax(query key^T + bias): the definition.

    Args:
        query: (batch, heads, cells, head_dim), scaled.
        key: the same shape.
        value: the same shape, but that a value may have another number of channels.
        bias: (heads, cells, cells), or None for content alone.

    The softmax is taken in float32 whatever the inputs are.
    """
    logits = query @ key.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias
    return _softmax(logits, value.dtype) @ value


def attention_fused(query: Heads, key: Heads, value: Values, bias: Float[Tensor, "n l l"] | None = None) -> Values:
    """`attention_plain` by one call of PyTorch's fused attention."""
    mask = None if bias is None else bias.to(query.dtype)[None]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)


def attention(
    query: Heads, key: Heads, value: Values, bias: Float[Tensor, "n l l"] | None = None, *, path: Path = "auto"
) -> Values:
    """`attention_plain`, by the form that suits the device and the direction."""
    chosen = attention_plain if _plain_wins(query, bias, path) else attention_fused
    return chosen(query, key, value, bias)


def axial_attention_plain(query: Heads, key: Heads | None, value: Values, rows: Rows, columns: Columns) -> Values:
    """Mix values by softmax(query key^T + query rows^T + query columns^T): BoTNet's definition.

    Args:
        query: (batch, heads, h*w, head_dim), scaled.
        key: the same shape, or None for positions alone.
        value: the same shape, but that a value may have another number of channels.
        rows: one vector for each pair of grid rows (of the query, of the key), (h, h, head_dim), shared by the heads.
        columns: the same for pairs of grid columns, (w, w, head_dim).
    """
    row_logits, column_logits = _axis_logits(query, rows, columns)
    logits = row_logits[..., :, None] + column_logits[..., None, :]  # b n h w h w
    logits = logits.flatten(4, 5).flatten(2, 3)
    if key is not None:
        logits = logits + query @ key.transpose(-2, -1)
    return _softmax(logits, value.dtype) @ value


def axial_attention_fused(query: Heads, key: Heads | None, value: Values, rows: Rows, columns: Columns) -> Values:
    """`axial_attention_plain` without a table of cells by cells.

    The position logits split into a term for the key's row and one for its column. So the query carries its h row
    logits and w column logits as extra features, and the key carries a one-hot code of its row and of its column:
    their product adds exactly the wanted terms inside any fused attention.
    """
    height, width = rows.shape[0], columns.shape[0]
    row_logits, column_logits = _axis_logits(query, rows, columns)
    positions = torch.cat([row_logits, column_logits], dim=-1).flatten(2, 3).to(query.dtype)  # b n l h+w
    codes = torch.cat(_codes(height, width, query), dim=-1).expand_as(positions)
    # Without the content a key of zeros takes its place. Left out, the query would have h+w features, and a recorded
    # graph, which must hold for every size, would be fixed to those where that is, or is not, the value's head_dim.
    key = query.new_zeros(()).expand_as(query) if key is None else key.to(query.dtype)
    wide_query = torch.cat([query, positions], dim=-1)
    wide_key = torch.cat([key, codes], dim=-1)
    return F.scaled_dot_product_attention(wide_query, wide_key, value, scale=1.0)


def axial_attention(
    query: Heads, key: Heads | None, value: Values, rows: Rows, columns: Columns, *, path: Path = "auto"
) -> Values:
    """`axial_attention_plain`, by the form that suits the device and the direction."""
    chosen = axial_attention_plain if _plain_wins(query, rows, path) else axial_attention_fused
    return chosen(query, key, value, rows, columns)


def listing_attention_plain(query: Heads, key: Heads, value: Heads, cells: Float[Tensor, "n l d"]) -> Heads:
    """Mix values by softmax(query key^T + cells query^T): what the public listings of BoTNet compute.

    energy[i, j] = query_i . key_j + cells_i . query_j

    Args:
        query: (batch, heads, cells, head_dim). The listings do not scale it.
        key: the same shape.
        value: the same shape.
        cells: one vector for each head and cell, (heads, cells, head_dim).

    The position of the cell that looks, i, meets the query of the cell that is looked at, j: where that one lies never
    enters, and where all queries are alike the term is one number for a whole row, which the softmax cancels.
    """
    logits = query @ key.transpose(-2, -1) + cells.to(query.dtype) @ query.transpose(-2, -1)
    return _softmax(logits, value.dtype) @ value


def listing_attention_fused(query: Heads, key: Heads, value: Heads, cells: Float[Tensor, "n l d"]) -> Heads:
    """`listing_attention_plain` by one call of fused attention: both products are one, of twice as many features."""
    wide_query = torch.cat([query, cells.to(query.dtype).expand_as(query)], dim=-1)
    wide_key = torch.cat([key, query], dim=-1)
    return F.scaled_dot_product_attention(wide_query, wide_key, value, scale=1.0)


def listing_attention(
    query: Heads, key: Heads, value: Heads, cells: Float[Tensor, "n l d"], *, path: Path = "auto"
) -> Heads:
    """`listing_attention_plain`, by the form that suits the device and the direction."""
    chosen = listing_attention_plain if _plain_wins(query, cells, path) else listing_attention_fused
    return chosen(query, key, value, cells)


def _axis_logits(
    query: Heads, rows: Rows, columns: Columns
) -> tuple[Float[Tensor, "b n h w h"], Float[Tensor, "b n h w w"]]:
    """Multiply every query by the vectors of its own row with each row, and of its own column with each column."""
    height, width = rows.shape[0], columns.shape[0]
    cells = query.unflatten(2, (height, width))  # b n h w d
    row_logits = torch.einsum("bnhwd,hkd->bnhwk", cells, rows.to(query.dtype))
    column_logits = torch.einsum("bnhwd,wkd->bnhwk", cells, columns.to(query.dtype))
    return row_logits, column_logits


def _codes(height: int, width: int, like: Tensor) -> tuple[Float[Tensor, "l h"], Float[Tensor, "l w"]]:
    """Give the one-hot codes of every cell's row and column, as `torch.jit.trace` can record it for any grid."""
    cells = torch.arange(height * width, device=like.device)[:, None]
    rows = cells // width == torch.arange(height, device=like.device)
    columns = cells % width == torch.arange(width, device=like.device)
    return rows.to(like.dtype), columns.to(like.dtype)


def _softmax(logits: Tensor, dtype: torch.dtype) -> Tensor:
    return logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32)).to(dtype)


def _plain_wins(query: Tensor, position: Tensor | None, path: Path) -> bool:
    """Choose by measurement: on a CPU the fused backward with a learnt bias is slower than the plain form."""
    if path != "auto":
        return path == "plain"
    learns = torch.is_grad_enabled() and position is not None and position.requires_grad
    return query.device.type == "cpu" and learns
