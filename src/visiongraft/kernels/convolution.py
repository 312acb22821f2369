"""A convolution, and what follows it while its result is still in the cache: a sum, an activation."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Maps = Float[Tensor, "b c h w"]
Sums = Float[Tensor, "b d i j"]
Ending = Literal["none", "relu", "silu", "gelu"]
"""The activation behind a convolution."""

_WORDS: dict[Ending, tuple[str, str | None]] = {
    "none": ("none", None),
    "relu": ("relu", None),
    "silu": ("swish", None),
    "gelu": ("gelu", "none"),  # the exact one, by the error function
}


class Geometry(NamedTuple):
    """How a window goes over the maps; each number for both axes, rows first."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def convolution_plain(
    maps: Maps, weight: Tensor, bias: Tensor | None, geometry: Geometry, *, ending: Ending, other: Sums | None = None
) -> Sums:
    """Convolve, add other maps, and activate: the definition.

    Args:
        maps: (b, c, h, w).
        weight: (d, c / groups, rows, columns).
        bias: (d,), or None.
        geometry: stride, padding with zeros, dilation, groups.
        ending: what is done to the sum.
        other: what is added, of the result's shape; None adds nothing.
    """
    done = F.conv2d(maps, weight, bias, *geometry)
    return end(done if other is None else done + other, ending)


def end(maps: Tensor, ending: Ending) -> Tensor:
    """Activate maps that nobody else uses: they are written over, where nobody asks for their gradient."""
    over = not maps.requires_grad and not torch.compiler.is_compiling()
    if ending == "relu":
        return F.relu(maps, inplace=over)
    if ending == "silu":
        return F.silu(maps, inplace=over)
    if ending == "gelu":
        return torch.ops.aten.gelu_(maps) if over else F.gelu(maps)
    return maps


def packed(weight: Tensor, geometry: Geometry, size: torch.Size) -> Tensor:
    """Lay a weight out for oneDNN, as it would itself at every call, for maps of a size (b, c, h, w)."""
    laid_out: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, geometry.padding, geometry.stride, geometry.dilation, geometry.groups, list(size)
    )
    return laid_out


def convolution_packed(
    maps: Maps, weight: Tensor, bias: Tensor | None, geometry: Geometry, *, ending: Ending, other: Sums | None = None
) -> Sums:
    """`convolution_plain` by one call of oneDNN, for a weight that `packed` laid out; no gradients, on a CPU."""
    ways = (geometry.padding, geometry.stride, geometry.dilation, geometry.groups)
    word, form = _WORDS[ending]
    done: Tensor
    if other is None:
        return torch.ops.mkldnn._convolution_pointwise(maps, weight, bias, *ways, word, [], form or "")
    if ending in ("none", "relu"):  # the only one behind a sum
        after = None if ending == "none" else word
        return torch.ops.mkldnn._convolution_pointwise(maps, other, weight, bias, *ways, "add", None, after, [], None)
    done = torch.ops.mkldnn._convolution_pointwise(maps, other, weight, bias, *ways, "add", None, None, [], None)
    return end(done, ending)


def takes_packed(maps: Maps, dtype: torch.dtype) -> bool:
    """Tell whether `convolution_packed` takes these maps, as such numbers, here and now."""
    if maps.device.type != "cpu" or not len(maps) or dtype not in (torch.float32, torch.bfloat16):
        return False
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return not recorded and not torch.is_grad_enabled() and torch.backends.mkldnn.is_available()
