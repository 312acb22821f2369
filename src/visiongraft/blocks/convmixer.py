"""The block of ConvMixer."""

from dataclasses import dataclass

from torch import Tensor, nn

from visiongraft.blocks.primitives import Act, DropPath, activation
from visiongraft.blocks.site import Site
from visiongraft.errors import SpecError


@dataclass(frozen=True)
class ConvMixerBlock:
    """A large depthwise convolution beside an identity, then a pointwise one; activation before normalisation.

    Args:
        kernel: side of the depthwise window in cells; an even one reaches one cell further down and right.
        act: activation after each convolution.

    Source: arXiv:2201.09792. Weights start as PyTorch's defaults, as the paper's listing leaves them.
    """

    kernel: int = 9
    act: Act = "gelu"

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        if site.stride != 1 or site.in_width != site.width:
            raise SpecError(
                "ConvMixerBlock keeps width and grid:"
                f" it cannot go from {site.in_width} to {site.width} channels at stride {site.stride}."
            )
        if self.kernel < 1:
            raise SpecError(f"ConvMixerBlock(kernel={self.kernel}) has no window. Use a kernel of at least 1.")
        return ConvMixerLayer(self, site)


class ConvMixerLayer(nn.Module):
    """See `ConvMixerBlock`."""

    def __init__(self, spec: ConvMixerBlock, site: Site) -> None:
        super().__init__()
        width = site.width
        before, after = (spec.kernel - 1) // 2, spec.kernel // 2
        # An even kernel needs one more cell behind than before, which a convolution's own padding cannot give.
        self.pad = nn.ZeroPad2d((before, after, before, after)) if before != after else nn.Identity()
        padding = before if before == after else 0
        self.depthwise = nn.Conv2d(width, width, spec.kernel, padding=padding, groups=width)
        self.norm1 = nn.BatchNorm2d(width)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.norm2 = nn.BatchNorm2d(width)
        self.act = activation(spec.act)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps + self.drop_path(self.norm1(self.act(self.depthwise(self.pad(maps)))))
        return self.norm2(self.act(self.pointwise(maps)))
