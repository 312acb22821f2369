"""The transformer block of CoAtNet's attention stages."""

from dataclasses import dataclass

from torch import Tensor, nn

from visiongraft.blocks.mbconv import pooled_shortcut
from visiongraft.blocks.mixers import join_heads, split_heads
from visiongraft.blocks.positions import PlaneBias
from visiongraft.blocks.primitives import Act, ChannelNorm, DropPath, HalveMax, activation
from visiongraft.blocks.site import Site
from visiongraft.errors import SpecError
from visiongraft.kernels.attention import attention


@dataclass(frozen=True)
class RelativeTransformer:
    """Self-attention with a learnt bias for each offset in the plane, then a two-layer network on each cell.

    Args:
        head_dim: channels of one head; it divides the width.
        expansion: width of the hidden layer, as a multiple of the block's width.
        act: activation of the hidden layer.

    Where the place has a stride, the normalised map and the shortcut are first max-pooled over 2x2 cells.

    Source: arXiv:2106.04803, section 2 and appendix A.1: Proj(Pool(x)) + Attention(Pool(Norm(x))).
    """

    head_dim: int = 32
    expansion: int = 4
    act: Act = "gelu"

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        if self.head_dim < 1 or site.width % self.head_dim:
            raise SpecError(
                f"RelativeTransformer(head_dim={self.head_dim}) does not divide a width of {site.width}."
                " Use a head_dim that does."
            )
        return RelativeTransformerBlock(self, site)


class RelativeTransformerBlock(nn.Module):
    """See `RelativeTransformer`."""

    def __init__(self, spec: RelativeTransformer, site: Site) -> None:
        super().__init__()
        self.heads = site.width // spec.head_dim
        self.scale = spec.head_dim**-0.5
        self.path = site.runtime.kernels
        self.norm1 = ChannelNorm(site.in_width)
        self.pool = HalveMax() if site.stride == 2 else nn.Identity()
        self.qkv = _linear(site.in_width, 3 * site.width)
        self.bias = PlaneBias(self.heads, site.out_grid)
        self.project = _linear(site.width, site.width)
        self.shortcut = pooled_shortcut(site)
        self.norm2 = ChannelNorm(site.width)
        self.mlp = nn.Sequential(
            _linear(site.width, spec.expansion * site.width),
            activation(spec.act),
            _linear(spec.expansion * site.width, site.width),
        )
        self.drop_path = DropPath(site.drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.shortcut(maps) + self.drop_path(self._attend(self.pool(self.norm1(maps))))
        return maps + self.drop_path(self.mlp(self.norm2(maps)))

    def _attend(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        query, key, value = split_heads(self.qkv(maps), self.heads)
        (bias,) = self.bias((height, width))
        mixed = attention(query * self.scale, key, value, bias, path=self.path)
        return self.project(join_heads(mixed, height, width))


def _linear(in_width: int, width: int) -> nn.Conv2d:
    """Make a linear layer on the channels of each cell: as a convolution, since maps stay maps."""
    layer = nn.Conv2d(in_width, width, 1)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
