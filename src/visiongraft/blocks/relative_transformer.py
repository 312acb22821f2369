"""The transformer block of CoAtNet's attention stages."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from visiongraft.blocks.mbconv import Bias, pooled_shortcut
from visiongraft.blocks.mixers import join_heads, split_heads
from visiongraft.blocks.positions import PlaneNetwork, PlaneTable
from visiongraft.blocks.primitives import Act, ChannelScale, DropPath, Pool, activation, halve, map_norm
from visiongraft.blocks.site import Site
from visiongraft.errors import SpecError
from visiongraft.kernels.attention import attention


@dataclass(frozen=True)
class RelativeTransformer:
    """Self-attention with a learnt bias for each offset in the plane, then a two-layer network on each cell.

    Args:
        head_dim: channels of one head; it divides the width that attends, see `widen_at`.
        expansion: width of the hidden layer, as a multiple of the block's width.
        act: activation of the hidden layer.
        position: where the bias of an offset comes from: a stored table, or a small network.
        widen_at: where a place that changes the width does so: in the layer that makes queries, keys and values
            ("query"), or in the one behind the attention ("project"), which then attends at the incoming width.
        norm: what normalises both branches: "layer", over the channels of each cell, or "batch".
        scale: what a learnt factor for each channel of both branches starts at, or None for no such factor.
        pool: how the normalised map and the shortcut are halved where the place has a stride.
        shortcut_bias: whether the shortcut's convolution has a bias: "learnt" or "none".

    Source: arXiv:2106.04803, section 2 and appendix A.1: Proj(Pool(x)) + Attention(Pool(Norm(x))). The defaults are
    the paper's; the choices from `position` on are those of timm's CoAtNets.
    """

    head_dim: int = 32
    expansion: int = 4
    act: Act = "gelu"
    position: PlaneTable | PlaneNetwork = PlaneTable()
    widen_at: Literal["query", "project"] = "query"
    norm: Literal["layer", "batch"] = "layer"
    scale: float | None = None
    pool: Pool = "max"
    shortcut_bias: Bias = "learnt"

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        width = self.attended(site)
        if self.head_dim < 1 or width % self.head_dim:
            raise SpecError(
                f"RelativeTransformer(head_dim={self.head_dim}) does not divide a width of {width}."
                " Use a head_dim that does."
            )
        return RelativeTransformerBlock(self, site)

    def attended(self, site: Site) -> int:
        """Give the channels of all heads together."""
        return site.width if self.widen_at == "query" else site.in_width


class RelativeTransformerBlock(nn.Module):
    """See `RelativeTransformer`."""

    def __init__(self, spec: RelativeTransformer, site: Site) -> None:
        super().__init__()
        attended = spec.attended(site)
        self.heads = attended // spec.head_dim
        self.scale = spec.head_dim**-0.5
        self.path = site.runtime.kernels
        self.norm1 = map_norm(spec.norm, site.in_width)
        self.pool = halve(spec.pool) if site.stride == 2 else nn.Identity()
        self.qkv = _linear(site.in_width, 3 * attended)
        self.bias = spec.position.build(self.heads, site.out_grid)
        self.project = _linear(attended, site.width)
        self.scale1 = ChannelScale(site.width, spec.scale)
        self.shortcut = pooled_shortcut(site, spec.pool, spec.shortcut_bias)
        self.norm2 = map_norm(spec.norm, site.width)
        self.mlp = nn.Sequential(
            _linear(site.width, spec.expansion * site.width),
            activation(spec.act),
            _linear(spec.expansion * site.width, site.width),
        )
        self.scale2 = ChannelScale(site.width, spec.scale)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        attended = self._attend(self.pool(self.norm1(maps)))
        maps = self.shortcut(maps) + self.drop_path(self.scale1(attended))
        return maps + self.drop_path(self.scale2(self.mlp(self.norm2(maps))))

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
