"""The basic block of ResNet-18 and -34, around any mixer."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from visiongraft.blocks.bottleneck import make_shortcut
from visiongraft.blocks.mixers import Conv
from visiongraft.blocks.primitives import Act, DropPath, activation, conv, norm
from visiongraft.blocks.site import Mixer, Site


@dataclass(frozen=True)
class Basic:
    """Convolve 3x3 cells, mix, and add to what came in: two layers of the full width.

    Args:
        mixer: what works behind the convolution, at the block's width; it normalises its own output or the block does.
        act: activation after the convolution, and after the sum.

    The last normalisation starts at zero, so that the block starts as its shortcut, unless the mixer has its own.

    Source: arXiv:1512.03385, figure 5 on the left, with the stride in the convolution.
    """

    mixer: Mixer = field(default_factory=Conv)
    act: Act = "relu"

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        return BasicBlock(self, site)


class BasicBlock(nn.Module):
    """See `Basic`."""

    def __init__(self, spec: Basic, site: Site) -> None:
        super().__init__()
        self.conv = conv(site.in_width, site.width, 3, stride=site.stride)
        self.norm1 = norm(site.width)
        self.mixer = spec.mixer.build(site.behind)
        self.norm2 = nn.Identity() if spec.mixer.self_normalised else norm(site.width, starts_at=0.0)
        self.shortcut = make_shortcut("conv", site, spec.act)
        self.drop_path = DropPath(site.drop_path)
        self.act = activation(spec.act)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.norm2(self.mixer(self.act(self.norm1(self.conv(maps)))))
        return self.act(self.shortcut(maps) + self.drop_path(branch))
