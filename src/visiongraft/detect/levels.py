"""Which maps of a network feed a pyramid, and which strides its levels have: what follows from the network's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from visiongraft.detect.value import Kind

Pixels = int | float
"""A length that may be no whole number of them."""

FINEST: dict[Kind, int] = {"mask_rcnn": 4, "faster_rcnn": 4, "retinanet": 8, "fcos": 8}
"""Pixels per cell of the finest level: detectors without proposals leave out the largest grid, as their papers do."""

DEPTH = 5
"""Levels of a pyramid whose network gives what a ResNet does."""

SCALED = 4
"""Levels that are scaled from a single map, at most; strides up to 32."""


@dataclass(frozen=True)
class Levels:
    """The levels of a pyramid, from the finest to the coarsest.

    Args:
        maps: places of the network's maps that feed it: one for each of the first levels, or a single one of which
            they are all scaled.
        strides: pixels per cell of each level. They are no whole numbers where patches of 7 pixels are scaled up.
        fed: how many levels are made of maps; each of the others is made of the level before it, by half.
        scales: by which power of two each of these levels has fewer cells than the single map; empty where each has
            a map of its own.
    """

    maps: tuple[int, ...]
    strides: tuple[Pixels, ...]
    fed: int
    scales: tuple[int, ...] = ()

    @property
    def multiple(self) -> int:
        """What height and width in pixels are padded to a multiple of, so that all grids that are fed are whole."""
        own = [self.strides[0] * 2 ** -self.scales[0]] if self.scales else []
        return math.lcm(*(int(each) for each in (*own, *self.strides[: self.fed]) if each == int(each)))


def levels_of(kind: Kind, strides: Sequence[int]) -> Levels:
    """Tell which levels a detector has on a network.

    Where the maps have several strides that are not too fine, the deepest map of each stride feeds a level. Where
    they have not, as in a network of one grid, levels at about 4, 8, 16 and 32 pixels a cell are scaled from the last
    map by powers of two.

    Args:
        kind: of the detector.
        strides: pixels per cell of each of the network's maps, in their order.

    >>> levels_of("mask_rcnn", (2, 4, 8, 16, 32))
    Levels(maps=(1, 2, 3, 4), strides=(4, 8, 16, 32, 64), fed=4, scales=())
    >>> levels_of("mask_rcnn", (2, 4, 8, 16, 16)).maps
    (1, 2, 4)
    >>> levels_of("mask_rcnn", (7, 7)).strides
    (3.5, 7, 14, 28, 56)

    Source: the simple pyramid is that of arXiv:2203.16527, section 3.
    """
    finest = FINEST[kind]
    deepest = {stride: place for place, stride in enumerate(strides) if stride >= finest}
    found = sorted(deepest)
    if len(found) > 1:
        return Levels(tuple(deepest[each] for each in found), _with_coarser(found, finest), len(found))
    last = strides[-1]
    targets = [2**power for power in range(2, 2 + SCALED) if 2**power >= finest]
    scales = tuple(round(math.log2(each / last)) for each in targets)
    scaled = [last * 2**each if each >= 0 else last / 2**-each for each in scales]
    whole = [int(each) if each == int(each) else each for each in scaled]
    return Levels((len(strides) - 1,), _with_coarser(whole, finest), len(whole), scales)


def _with_coarser(strides: Sequence[Pixels], finest: int) -> tuple[Pixels, ...]:
    """Add levels, each of half the grid of the one before, up to about the coarsest of a ResNet's pyramid."""
    found = list(strides)
    while found[-1] * _NEARLY < finest * 2 ** (DEPTH - 1):
        found.append(found[-1] * 2)
    return tuple(found)


_NEARLY = 2**0.5
