"""Words for what widely copied listings compute instead of the papers: for weights that were trained with them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from visiongraft.blocks.primitives import activation, conv, norm
from visiongraft.blocks.site import Site
from visiongraft.errors import SpecError


@dataclass(frozen=True)
class SimplifiedContextualTransformer:
    """What public listings call CoTNet's mixer: its two contexts are there, its local mixing is not.

    The keys are a convolution of the map, the static context. From each cell and its key, two pointwise layers make as
    many numbers for every channel as the window has cells. Their mean goes through a softmax over all cells of the
    map, and scales the value of the cell itself. The sum of both contexts goes out.

    Args:
        kernel: side of the window of the keys' convolution in cells, odd.
        groups: into how many groups the keys' convolution falls: 1 in the most copied listing, 4 in another.

    No value ever leaves its cell, and the softmax makes the dynamic context smaller the larger the map is. The paper's
    operator is `ContextualTransformer`.

    Where the place has a stride, the map is first averaged over 3x3 cells.

    Source: with 4 groups, CoTAttention of github.com/xmu-xiaoma666/External-Attention-pytorch at d75848e.
    """

    self_normalised: ClassVar[bool] = True

    kernel: int = 3
    groups: int = 1

    def build(self, site: Site) -> nn.Module:
        """Make the module for this place."""
        if site.in_width != site.width:
            raise SpecError(
                f"SimplifiedContextualTransformer keeps the width: {site.in_width} came in, {site.width} is wanted."
            )
        if site.width % 2:
            raise SpecError(f"SimplifiedContextualTransformer needs an even width, not {site.width}.")
        return SimplifiedContextualTransformerMixer(self, site)


class SimplifiedContextualTransformerMixer(nn.Module):
    """See `SimplifiedContextualTransformer`."""

    def __init__(self, spec: SimplifiedContextualTransformer, site: Site) -> None:
        super().__init__()
        width, taps = site.width, spec.kernel**2
        self.taps = taps
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if site.stride == 2 else nn.Identity()
        self.key = nn.Sequential(conv(width, width, spec.kernel, groups=spec.groups), norm(width), activation("relu"))
        self.value = nn.Sequential(conv(width, width), norm(width))
        self.weights = nn.Sequential(
            conv(2 * width, width // 2),
            norm(width // 2),
            activation("relu"),
            conv(width // 2, taps * width, bias=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.pool(maps)
        key = self.key(maps)
        weights = self.weights(torch.cat([key, maps], 1)).unflatten(1, (-1, self.taps)).mean(2)  # b c h w
        shares = weights.flatten(2).softmax(dim=-1).view_as(weights)
        return key + shares * self.value(maps)
