"""For which image size weights are: their position tables tell it, as far as shapes can."""

import math
from collections.abc import Mapping
from itertools import product

from torch import Tensor

from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone
from visiongraft.weights.renaming import Wanted

LARGEST_IMAGE = 2048
"""The longest side in pixels that is looked for."""


def likely_images(
    found: Mapping[str, Tensor], wanted: Mapping[str, Wanted], spec: Backbone, *, image: Grid | None = None
) -> list[Grid]:
    """Give the native image size, (h, w) in pixels, at which a network has position tables of the shapes that came.

    A table along one axis tells the cells of that axis. A table of plane offsets tells a product alone, so that
    192x256 looks like 256x192; tables of other stages leave fewer sizes with that product.

    Args:
        found: tensors by the source's names.
        wanted: what the network needs, by the same names.
        spec: the network.
        image: the size to take if it fits, before all others.

    Returns:
        `image`, the network's own size or a square, if one of them fits, in this order; otherwise the size that is
        nearest to the network's own, or several that are equally near. Empty where none fits.

    Raises:
        ImageSizeError: if the network cannot take `image`.
    """
    tables = _distinct(found, wanted, spec)
    for size in (image, spec.image):
        if size is not None and _fit(tables, spec.grids(size)):
            return [size]
    if not tables:
        return []
    step = spec.strides[min(level for level, _, _ in tables)]  # every number of cells has one multiple of it
    sides = range(step, LARGEST_IMAGE + 1, step)
    cells = {side: [grid[0] for grid in spec.grids((side, side))] for side in sides if side >= spec.smallest_image}
    heights, widths = ([side for side in cells if _may_fit(tables, cells[side], axis)] for axis in ("height", "width"))
    fitting = [
        (height, width)
        for height, width in product(heights, widths)
        if _fit(tables, tuple(zip(cells[height], cells[width], strict=True)))
    ]
    squares = [size for size in fitting if size[0] == size[1]]
    if squares:
        return squares[:1]
    distances = [
        sum(abs(math.log(side / own)) for side, own in zip(size, spec.image, strict=True)) for size in fitting
    ]
    return [size for size, each in zip(fitting, distances, strict=True) if each <= min(distances) + _EQUAL]


_EQUAL = 1e-9

_Table = tuple[int, Wanted, tuple[int, ...]]
"""After which stage a table stands (0 is the stem), what is wanted there, and the shape that came."""


def _distinct(found: Mapping[str, Tensor], wanted: Mapping[str, Wanted], spec: Backbone) -> list[_Table]:
    """Give each kind of table once: those of one stage and of one shape tell the same."""
    grids = spec.grids()
    distinct: dict[object, _Table] = {}
    for name, each in wanted.items():
        if each.tables is None or name not in found:
            continue
        stage = int(each.ours.split(".")[1])  # "stages.2.0.bias.table"
        level = stage + 1 if each.tables.grid == grids[stage + 1] else stage
        shape = tuple(found[name].shape)
        distinct.setdefault((level, shape, each.foreign_shape, each.ours.rpartition(".")[2]), (level, each, shape))
    return list(distinct.values())


def _may_fit(tables: list[_Table], cells: list[int], axis: str) -> bool:
    """Tell whether every table along that axis alone has so many cells."""
    for level, each, shape in tables:
        own = cells[level]
        one, other = (each.at((own, rest) if axis == "height" else (rest, own)) for rest in (1, 2))
        if one.foreign_shape == other.foreign_shape and not one.fits(shape):
            return False
    return True


def _fit(tables: list[_Table], grids: tuple[Grid, ...]) -> bool:
    return all(each.at(grids[level]).fits(shape) for level, each, shape in tables)
