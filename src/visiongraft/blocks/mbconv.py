"""The inverted bottleneck of CoAtNet's convolution stages."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from visiongraft.blocks.primitives import (
    Act,
    DropPath,
    HalveMax,
    SqueezeExcite,
    activation,
    conv,
    norm,
)
from visiongraft.blocks.site import Site


@dataclass(frozen=True)
class MBConv:
    """Normalise, widen, mix each channel by itself, gate, narrow, and add to what came in.

    Args:
        kernel: side of the depthwise window in cells, odd.
        expansion: width of the depthwise convolution, as a multiple of the block's width.
        squeeze: squeeze-and-excitation of the wide map, its hidden layer a share of the block's width.
        act: activation after the normalisations that follow the two first convolutions.
        stride_at: which convolution takes the stride: the "expansion" (the paper's default) or the "depthwise" one.

    Source: arXiv:2106.04803, appendix A.1: x + Conv(DepthConv(Conv(Norm(x), stride 2))) beside Proj(Pool(x)).
    """

    kernel: int = 3
    expansion: int = 4
    squeeze: SqueezeExcite = field(default_factory=lambda: SqueezeExcite(0.25, "silu"))
    act: Act = "gelu"
    stride_at: Literal["expansion", "depthwise"] = "expansion"

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        return MBConvBlock(self, site)


class MBConvBlock(nn.Module):
    """See `MBConv`."""

    def __init__(self, spec: MBConv, site: Site) -> None:
        super().__init__()
        wide = site.width * spec.expansion
        first, second = (site.stride, 1) if spec.stride_at == "expansion" else (1, site.stride)
        self.norm1 = norm(site.in_width)
        self.expand = conv(site.in_width, wide, stride=first)
        self.norm2 = norm(wide)
        self.depthwise = conv(wide, wide, spec.kernel, stride=second, groups=wide)
        self.norm3 = norm(wide)
        self.squeeze = spec.squeeze.build(wide, of=site.width)
        self.project = conv(wide, site.width, bias=True)
        self.shortcut = pooled_shortcut(site)
        self.drop_path = DropPath(site.drop_path)
        self.act = activation(spec.act)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.act(self.norm2(self.expand(self.norm1(maps))))
        branch = self.act(self.norm3(self.depthwise(branch)))
        branch = self.project(self.squeeze(branch))
        return self.shortcut(maps) + self.drop_path(branch)


def pooled_shortcut(site: Site) -> nn.Module:
    """Bring the incoming map to the new width and stride, each only where it changes: Proj(Pool(x)) of CoAtNet."""
    layers: list[nn.Module] = []
    if site.stride == 2:
        layers.append(HalveMax())
    if site.in_width != site.width:
        layers.append(conv(site.in_width, site.width, bias=True))
    return nn.Sequential(*layers)
