"""The inverted bottleneck of CoAtNet's convolution stages."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from visiongraft.blocks.primitives import (
    Act,
    DropPath,
    HalveMean,
    Pool,
    SqueezeExcite,
    activation,
    conv,
    halve,
    norm,
)
from visiongraft.blocks.site import Site

Bias = Literal["learnt", "none"]
"""Whether a layer adds a learnt number to each channel."""


@dataclass(frozen=True)
class MBConv:
    """Normalise, widen, mix each channel by itself, gate, narrow, and add to what came in.

    Args:
        kernel: side of the depthwise window in cells, odd.
        expansion: width of the depthwise convolution, as a multiple of the `base` width.
        squeeze: squeeze-and-excitation of the wide map, its hidden layer a share of the `base` width.
        act: activation after normalisations, see `act_after`.
        stride_at: what takes the stride: the "expansion" (the paper's default), the "depthwise" convolution, or a
            "pool", which takes the means of 2x2 cells before the expansion.
        base: the width that `expansion` and `squeeze` count from: the block's "output" or its "input".
        act_after: which normalisations an activation follows: those behind "convs" alone, or "all" of them.
        squeeze_at: what the gate scales: the depthwise convolution's map "before_norm", or "after_act".
        pool: how the shortcut halves the grid.
        out_bias: whether the projection and the shortcut's convolution have a bias: "learnt" or "none".

    Source: arXiv:2106.04803, appendix A.1: x + Conv(DepthConv(Conv(Norm(x), stride 2))) beside Proj(Pool(x)). The
    defaults are the paper's; the choices from `base` on are those of timm's CoAtNets.
    """

    kernel: int = 3
    expansion: int = 4
    squeeze: SqueezeExcite = field(default_factory=lambda: SqueezeExcite(0.25, "silu"))
    act: Act = "gelu"
    stride_at: Literal["expansion", "depthwise", "pool"] = "expansion"
    base: Literal["output", "input"] = "output"
    act_after: Literal["convs", "all"] = "convs"
    squeeze_at: Literal["before_norm", "after_act"] = "after_act"
    pool: Pool = "max"
    out_bias: Bias = "learnt"

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        return MBConvBlock(self, site)


class MBConvBlock(nn.Module):
    """See `MBConv`."""

    def __init__(self, spec: MBConv, site: Site) -> None:
        super().__init__()
        base = site.width if spec.base == "output" else site.in_width
        wide = base * spec.expansion
        self.gates_early = spec.squeeze_at == "before_norm"
        self.norm1 = norm(site.in_width)
        self.act1 = activation(spec.act) if spec.act_after == "all" else nn.Identity()
        self.pool = HalveMean() if spec.stride_at == "pool" and site.stride == 2 else nn.Identity()
        self.expand = conv(site.in_width, wide, stride=site.stride if spec.stride_at == "expansion" else 1)
        self.norm2 = norm(wide)
        stride = site.stride if spec.stride_at == "depthwise" else 1
        self.depthwise = conv(wide, wide, spec.kernel, stride=stride, groups=wide)
        self.norm3 = norm(wide)
        self.squeeze = spec.squeeze.build(wide, of=base)
        self.project = conv(wide, site.width, bias=spec.out_bias == "learnt")
        self.shortcut = pooled_shortcut(site, spec.pool, spec.out_bias)
        self.drop_path = DropPath(site.drop_path)
        self.act = activation(spec.act)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.expand(self.pool(self.act1(self.norm1(maps))))
        branch = self.depthwise(self.act(self.norm2(branch)))
        if self.gates_early:
            branch = self.act(self.norm3(self.squeeze(branch)))
        else:
            branch = self.squeeze(self.act(self.norm3(branch)))
        return self.shortcut(maps) + self.drop_path(self.project(branch))


def pooled_shortcut(site: Site, pool: Pool, bias: Bias) -> nn.Module:
    """Bring the incoming map to the new width and stride, each only where it changes: Proj(Pool(x)) of CoAtNet."""
    layers: list[nn.Module] = []
    if site.stride == 2:
        layers.append(halve(pool))
    if site.in_width != site.width:
        layers.append(conv(site.in_width, site.width, bias=bias == "learnt"))
    return nn.Sequential(*layers)
