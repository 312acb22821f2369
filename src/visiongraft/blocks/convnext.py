"""The block of ConvNeXt, taking its stride as timm's CoAtNeXt does."""

from dataclasses import dataclass

from torch import Tensor, nn

from visiongraft.blocks.mbconv import pooled_shortcut
from visiongraft.blocks.primitives import Act, ChannelNorm, ChannelScale, DropPath, activation, conv
from visiongraft.blocks.site import Site
from visiongraft.errors import SpecError


@dataclass(frozen=True)
class ConvNeXt:
    """Mix each channel by itself in a large window, normalise, then a two-layer network on each cell.

    Args:
        kernel: side of the depthwise window in cells, odd.
        expansion: width of the hidden layer, as a multiple of the block's width.
        act: activation of the hidden layer.
        scale: what a learnt factor for each channel of the branch starts at, or None for no such factor.

    Where the place has a stride, the depthwise convolution takes it, and the shortcut the means of 2x2 cells. Where
    the width grows, each incoming channel makes several in the depthwise convolution.

    Source: arXiv:2201.03545, figure 4. There the stride lies between the stages; here it is where timm's CoAtNeXt has
    it, in the first block of a stage.
    """

    kernel: int = 7
    expansion: int = 4
    act: Act = "gelu"
    scale: float | None = 1e-6

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        if site.width % site.in_width:
            raise SpecError(
                f"ConvNeXt makes each channel into a whole number of others: it cannot go from {site.in_width}"
                f" to {site.width} channels."
            )
        return ConvNeXtBlock(self, site)


class ConvNeXtBlock(nn.Module):
    """See `ConvNeXt`."""

    def __init__(self, spec: ConvNeXt, site: Site) -> None:
        super().__init__()
        width, wide = site.width, site.width * spec.expansion
        self.depthwise = conv(site.in_width, width, spec.kernel, stride=site.stride, groups=site.in_width, bias=True)
        self.norm = ChannelNorm(width)
        self.expand = conv(width, wide, bias=True)
        self.act = activation(spec.act)
        self.project = conv(wide, width, bias=True)
        self.scale = ChannelScale(width, spec.scale)
        self.shortcut = pooled_shortcut(site, "mean", "learnt")
        self.drop_path = DropPath(site.drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.norm(self.depthwise(maps))
        branch = self.project(self.act(self.expand(branch)))
        return self.shortcut(maps) + self.drop_path(self.scale(branch))
