"""The non-local block, a comparator for attention."""

from dataclasses import dataclass

from torch import Tensor, nn

from visiongraft.blocks.mixers import join_heads, split_heads
from visiongraft.blocks.primitives import DropPath, conv, norm, start_normal
from visiongraft.blocks.site import Site
from visiongraft.errors import SpecError
from visiongraft.kernels.attention import attention


@dataclass(frozen=True)
class NonLocal:
    """Single-head attention at half the width, without positions, added to what came in.

    Its last normalisation starts at zero, so that a network starts as it was without the block.

    Source: arXiv:1711.07971, the embedded Gaussian form: logits are not scaled.
    """

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        if site.stride != 1 or site.in_width != site.width:
            raise SpecError(
                "NonLocal keeps width and grid: place it after a block of its stage, not first in a stage that changes"
                f" {site.in_width} channels to {site.width} at stride {site.stride}."
            )
        return NonLocalBlock(site)


class NonLocalBlock(nn.Module):
    """See `NonLocal`."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        inner = site.width // 2
        self.path = site.runtime.kernels
        self.qkv = conv(site.width, 3 * inner, bias=True)
        start_normal(self.qkv.weight, std=0.01)
        self.project = conv(inner, site.width, bias=True)
        self.norm = norm(site.width, starts_at=0.0)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        query, key, value = split_heads(self.qkv(maps), 1)
        mixed = attention(query, key, value, path=self.path)
        return maps + self.drop_path(self.norm(self.project(join_heads(mixed, height, width))))
