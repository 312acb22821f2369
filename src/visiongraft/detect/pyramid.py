"""Pyramids: from an image to maps of equal width, each with about twice the stride of the one before."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from visiongraft.blocks.primitives import ChannelNorm, conv
from visiongraft.detect.frozen import freeze_norms
from visiongraft.detect.levels import Levels, levels_of
from visiongraft.detect.maps import look, maps_of, trunk_of
from visiongraft.detect.value import Detector
from visiongraft.surgery.network import AnyNetwork

GROUPS = 32
"""Groups of channels that a normalised head or pyramid normalises together."""


class Pyramid(nn.Module):
    """A backbone with a pyramid on it, as torchvision's detectors take one.

    Args:
        network: the backbone; its modules are shared, and what comes behind its last map is left out.
        spec: the detector.

    Images are (b, 3, h, w), padded to multiples of `multiple`. The levels are named "0", "1" and so on.
    """

    def __init__(self, network: AnyNetwork, spec: Detector) -> None:
        super().__init__()
        known = maps_of(network)
        self.levels: Levels = levels_of(spec.kind, [each.stride for each in known])
        maps = [known[place] for place in self.levels.maps]
        self.multiple = self.levels.multiple * math.ceil(network.smallest_image / self.levels.multiple)
        self.names = [each.name for each in maps]
        self.out_channels = spec.width
        self.body = trunk_of(network, maps)
        if spec.norm == "frozen":
            freeze_norms(self.body)
        self.fpn = _pyramid(self.levels, [each.width for each in maps], spec)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> OrderedDict[str, Float[Tensor, "b c _ _"]]:
        """Give the levels, from the finest to the coarsest."""
        maps = look(self.body, self.names, images)
        return self.fpn(OrderedDict(zip(map(str, range(len(maps))), maps, strict=True)))


def _pyramid(levels: Levels, widths: Sequence[int], spec: Detector) -> nn.Module:
    more = len(levels.strides) - levels.fed
    coarser = Thinned(more) if spec.kind in ("mask_rcnn", "faster_rcnn") else Halved(spec.width, more)
    if levels.scales:
        return ScaledPyramid(widths[0], levels.scales, spec.width, coarser)
    norm = partial(nn.GroupNorm, GROUPS) if spec.heads == "normalised" else None
    return FeaturePyramidNetwork(list(widths), spec.width, coarser, norm)


class ScaledPyramid(nn.Module):
    """A pyramid from one map, scaled up and down by powers of two, each level by itself.

    Args:
        in_width: channels of the map.
        scales: of each level the power of two by which its grid is smaller; where it is negative, larger.
        width: channels that go out.
        coarser: makes the levels behind.

    Source: the simple feature pyramid of arXiv:2203.16527, section 3 and appendix A.2. There, the map is that of a
    vision transformer at stride 16.
    """

    def __init__(self, in_width: int, scales: Sequence[int], width: int, coarser: ExtraFPNBlock) -> None:
        super().__init__()
        self.scaled = nn.ModuleList(_scaled(in_width, scale, width) for scale in scales)
        self.extra_blocks = coarser

    def forward(self, maps: OrderedDict[str, Float[Tensor, "b c h w"]]) -> OrderedDict[str, Float[Tensor, "b d _ _"]]:
        """Give the levels of the one map."""
        (single,) = maps.values()
        found = [each(single) for each in self.scaled]
        found, names = self.extra_blocks(found, [single], [str(place) for place in range(len(found))])
        return OrderedDict(zip(names, found, strict=True))


def _scaled(in_width: int, scale: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for step in range(-scale):
        half = max(in_width // 2, 1)
        layers += [ChannelNorm(in_width), nn.GELU()] if step else []
        layers.append(nn.ConvTranspose2d(in_width, half, 2, stride=2))
        in_width = half
    if scale > 0:
        layers.append(nn.MaxPool2d(2**scale))
    return nn.Sequential(*layers, conv(in_width, width), ChannelNorm(width), conv(width, width, 3), ChannelNorm(width))


class Thinned(ExtraFPNBlock):  # type: ignore[misc]  # torchvision has no types
    """Adds levels that have every second cell of the one before, as Faster R-CNN's coarsest.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Give the levels with those that are added, and their names."""
        del x
        found = list(results)
        for _ in range(self.count):
            found.append(F.max_pool2d(found[-1], 1, 2))
        return found, _numbered(names, len(found))


class Halved(ExtraFPNBlock):  # type: ignore[misc]
    """Adds levels that are convolved at stride 2 from the one before, as those of RetinaNet and FCOS.

    Args:
        width: channels.
        count: how many.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(count))
        for each in self.convs:
            assert isinstance(each, nn.Conv2d)
            assert each.bias is not None
            nn.init.kaiming_uniform_(each.weight, a=1)
            nn.init.zeros_(each.bias)

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Give the levels with those that are added, and their names."""
        del x
        found = list(results)
        for place, each in enumerate(self.convs):
            found.append(each(F.relu(found[-1]) if place else found[-1]))
        return found, _numbered(names, len(found))


def _numbered(names: list[str], count: int) -> list[str]:
    return [*names, *(str(place) for place in range(len(names), count))]
