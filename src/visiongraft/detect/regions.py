"""Where a detector looks: anchors on each level, and regions cut out of the level that suits their size."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder, BoxLinearCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign

from visiongraft.detect.levels import Levels, Pixels


class LevelAnchors(AnchorGenerator):  # type: ignore[misc]  # torchvision has no types
    """Anchors whose distances are the strides of the levels.

    torchvision divides the image by the grid and drops the rest, which is another number where a grid was rounded up
    (61 for 64 at 800 pixels), or a cell is no whole number of pixels.

    Args:
        strides: pixels per cell of each level.
        sizes: sides in pixels of the anchors at each cell of a level.
        ratios: their heights over their widths, on every level.
    """

    def __init__(
        self, strides: Sequence[Pixels], sizes: Sequence[tuple[Pixels, ...]], ratios: tuple[Pixels, ...]
    ) -> None:
        super().__init__(tuple(sizes), (ratios,) * len(sizes))
        self.strides = tuple(strides)

    def forward(
        self, image_list: ImageList, feature_maps: list[Float[Tensor, "b c _ _"]]
    ) -> list[Float[Tensor, "anchors 4"]]:
        """Give the anchors of each image as x0 y0 x1 y1 in pixels, level after level. They are the same for all."""
        device = feature_maps[0].device
        self.set_cell_anchors(torch.float32, device)
        grids = [each.shape[-2:] for each in feature_maps]
        steps = [torch.tensor(each, dtype=torch.float32, device=device) for each in self.strides]
        anchors = torch.cat(self.grid_anchors(grids, [[each, each] for each in steps]))
        return [anchors for _ in image_list.image_sizes]


class LevelOfRegion:
    """Tells on which level a region is looked at: on the one on which it has about 14 to 28 cells a side.

    Regions that are smaller belong to the finest level, and larger ones to the coarsest.

    Args:
        strides: pixels per cell of the levels.

    Source: arXiv:1612.03144, equation 1, where a region of 224 pixels belongs to the level of stride 16.
    """

    def __init__(self, strides: Sequence[Pixels]) -> None:
        self.bounds = tuple(_CELLS * each for each in strides[1:])

    def __call__(self, boxes: list[Float[Tensor, "_ 4"]]) -> Int64[Tensor, " regions"]:
        """Give the number of the level of each region, from 0."""
        joined = torch.cat(boxes).float()
        sides = ((joined[:, 2] - joined[:, 0]) * (joined[:, 3] - joined[:, 1])).sqrt()
        bounds = torch.tensor(self.bounds, device=sides.device)
        return torch.bucketize(sides * (1.0 + _ROUNDING), bounds, right=True)


_CELLS = 14
_ROUNDING = 1e-6  # a region of 112 pixels belongs to the level that begins there


def region_pool(levels: Levels, size: int) -> MultiScaleRoIAlign:
    """Make what cuts regions out of the levels that are made of maps, as grids of so many cells a side.

    torchvision would infer each level's stride from the first batch alone, as a power of two, and that from the size
    of its images before they were padded.
    """
    fed = levels.strides[: levels.fed]
    pool = MultiScaleRoIAlign([str(place) for place in range(len(fed))], size, 2)
    pool.scales = [1.0 / each for each in fed]
    pool.map_levels = LevelOfRegion(fed)
    return pool


class ExactBoxes(BoxCoder):  # type: ignore[misc]
    """Boxes from what a head says of anchors or regions, in float32.

    torchvision computes them in the precision of the head: in bfloat16 corners at 1000 pixels are off by up to 4.
    """

    def decode_single(self, rel_codes: Float[Tensor, "n c"], boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n c"]:
        """Give the boxes."""
        return super().decode_single(rel_codes.float(), boxes)


class ExactPoints(BoxLinearCoder):  # type: ignore[misc]
    """The same for FCOS, whose head says how far the sides are from a point."""

    def decode(self, rel_codes: Float[Tensor, "*n 4"], boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
        """Give the boxes."""
        return super().decode(rel_codes.float(), boxes)


def decode_exactly(detector: nn.Module) -> None:
    """Let all parts of a detector compute boxes in float32, whatever their heads compute in."""
    for part in detector.modules():
        coder: Any = getattr(part, "box_coder", None)
        if type(coder) is BoxCoder:
            part.box_coder = ExactBoxes(coder.weights, coder.bbox_xform_clip)
        elif type(coder) is BoxLinearCoder:
            part.box_coder = ExactPoints(coder.normalize_by_size)
