"""The shape of one object, as annotation files write it: polygons, or lengths of runs. Pixels only when asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visiongraft.detect.coco_tools import polygon_runs
from visiongraft.kernels.types import Grid

Mask = NDArray[np.uint8]
"""Height times width of 0 and 1."""

FEWEST_POINTS = 3
"""Of a polygon that has an inside."""


class BadOutlineError(ValueError):
    """An outline without an inside, or that is none; the text is the rest of a sentence that begins with its object.

    Args:
        text: what is wrong.
        rest: the other polygons of the object, where there are some and they are sound.
    """

    def __init__(self, text: str, rest: "Polygons | None" = None) -> None:
        super().__init__(text)
        self.rest = rest


@dataclass(frozen=True, eq=False)
class Polygons:
    """The insides of some polygons, together.

    Args:
        rings: (points, 2) each, x and y in pixels from the upper left corner of the image.
    """

    rings: tuple[NDArray[np.float64], ...]

    @property
    def area(self) -> float:
        """Pixels inside, each polygon by itself and not rounded to whole ones."""
        return sum(_shoelace(each) for each in self.rings)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The smallest x0 y0 x1 y1 around all of it."""
        points = np.concatenate(self.rings)
        return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())

    def mask(self, size: Grid) -> Mask:
        """Draw it into an image of a height and width, to the pixel as pycocotools does.

        Raises:
            MissingExtra: if pycocotools is not installed.
        """
        counts = polygon_runs([each.ravel().tolist() for each in self.rings], size)
        return RunLengths(size, np.array(_uncompressed(counts), np.uint32)).mask(size)

    def coco(self) -> object:
        """Write it as in COCO's json."""
        return [each.ravel().tolist() for each in self.rings]


@dataclass(frozen=True, eq=False)
class RunLengths:
    """A mask as the lengths of its runs of equal pixels, down the columns, the first of zeros (COCO's RLE).

    Args:
        size: height and width of the image.
        runs: how many pixels each run has; they sum to all pixels.
    """

    size: Grid
    runs: NDArray[np.uint32]

    @staticmethod
    def of(mask: NDArray[np.uint8] | NDArray[np.bool_]) -> "RunLengths":
        """Encode a mask of zeros and other numbers."""
        height, width = mask.shape
        columns = np.flatnonzero(mask.any(axis=0))
        if len(columns) == 0:
            return RunLengths((height, width), np.array([height * width], np.uint32))
        first, behind = int(columns[0]), int(columns[-1]) + 1  # elsewhere there is nothing to look at
        pixels = np.pad(mask[:, first:behind].T.ravel() != 0, 1)
        ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + first * height
        total = height * width
        edges = [[0], ends if ends[-1] < total else ends[:-1], [total]]
        return RunLengths((height, width), np.diff(np.concatenate(edges)).astype(np.uint32))

    @property
    def area(self) -> float:
        """Pixels inside."""
        return float(self.runs[1::2].sum(dtype=np.int64))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The smallest x0 y0 x1 y1 around all of it; all 0 where nothing is inside."""
        return box_of(self.mask(self.size))

    def mask(self, size: Grid) -> Mask:
        """Give the pixels; the size is its own, as was seen when it was read."""
        assert size == self.size
        values = np.arange(len(self.runs), dtype=np.uint8) % 2
        return np.repeat(values, self.runs).reshape(size[1], size[0]).T

    def coco(self) -> object:
        """Write it as in COCO's json."""
        return {"size": list(self.size), "counts": self.runs.tolist()}


Outline = Polygons | RunLengths


def box_of(mask: Mask) -> tuple[float, float, float, float]:
    """Give the smallest x0 y0 x1 y1 around the pixels that are not zero; all 0 where there is none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return (0.0, 0.0, 0.0, 0.0)
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def read_outline(entry: object, size: Grid) -> Outline | None:
    """Read what COCO's json has as "segmentation".

    Args:
        entry: a list of polygons, run lengths (compressed to text, or not), or nothing.
        size: height and width of the image.

    Returns:
        None where there is nothing, as in files that have boxes alone.

    Raises:
        BadOutlineError: with the rest of a sentence that begins with the object's name.
    """
    if entry is None or entry in ([], {}, ""):
        return None
    if isinstance(entry, dict):
        return read_runs(entry.get("counts"), entry.get("size"), size)
    if not isinstance(entry, list):
        raise BadOutlineError(f"has a segmentation that is neither polygons nor run lengths ({quoted(entry)})")
    if not isinstance(entry[0], list):  # one polygon without the list around it
        entry = [entry]
    rings, faults = [], []
    for each in entry:
        try:
            rings.append(read_ring(each, size))
        except BadOutlineError as fault:
            faults.append(str(fault))
    rest = Polygons(tuple(rings)) if rings else None
    if faults:
        raise BadOutlineError(faults[0], rest)
    return rest


def read_ring(entry: object, size: Grid) -> NDArray[np.float64]:
    """Read one polygon: x and y in turn.

    Raises:
        BadOutlineError: if it has an odd number of coordinates, fewer than 3 points, no inside, or is not of numbers
            in or near the image.
    """
    if not isinstance(entry, list | np.ndarray):
        raise BadOutlineError(f"has a polygon that is no list of numbers ({quoted(entry)})")
    if len(entry) % 2:
        raise BadOutlineError(f"has a polygon of {len(entry)} coordinates, an odd number")
    if len(entry) < 2 * FEWEST_POINTS:
        raise BadOutlineError(
            f"has a polygon of {len(entry) // 2} points, and at least {FEWEST_POINTS} have an inside"
        )
    try:
        points = np.array(entry, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise BadOutlineError(f"has a polygon that is no list of numbers ({quoted(entry)})") from None
    far = np.array([size[1], size[0]], np.float64)
    near = (points >= -far) & (points <= 2 * far)  # false of what is no number
    if not near.all():
        worst = points.ravel()[~near.ravel()][0]
        raise BadOutlineError(f"has a polygon that goes to {worst:g}, far from its image of {size[1]} x {size[0]}")
    if _shoelace(points) == 0:
        raise BadOutlineError("has a polygon without an inside, whose points lie on a line or on one another")
    return points


def read_runs(counts: object, stated: object, size: Grid) -> RunLengths:
    """Read run lengths.

    Args:
        counts: a list of lengths, or text as pycocotools compresses them.
        stated: height and width, as the file says.
        size: height and width of the image.

    Raises:
        BadOutlineError: if they are of another size, or do not fill it: C code would write beyond its memory.
    """
    if not isinstance(stated, list | tuple) or tuple(stated) != tuple(size):
        raise BadOutlineError(f"has run lengths for a size of {quoted(stated)}, and its image has {list(size)}")
    if isinstance(counts, str | bytes):
        runs = _uncompressed(counts if isinstance(counts, bytes) else counts.encode("ascii", "replace"))
    elif isinstance(counts, list) and all(isinstance(each, int) for each in counts):
        runs = counts
    else:
        raise BadOutlineError(f"has run lengths that are neither text nor whole numbers ({quoted(counts)})")
    if sum(runs) != size[0] * size[1] or min(runs, default=0) < 0:
        raise BadOutlineError(f"has run lengths of {sum(runs)} pixels, and its image has {size[0] * size[1]}")
    return RunLengths(size, np.array(runs, np.uint32))


def _uncompressed(text: bytes) -> list[int]:
    """Undo COCO's compression: 5 bits in each character from "0" on, low ones first, a sixth says that more follow.

    The highest of the last 5 bits is the sign, and from the fourth number on each is what it exceeds the one two
    before it by.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64:  # six bits
            raise BadOutlineError("has run lengths whose text is damaged")
        if shift > _MOST_BITS:
            raise BadOutlineError("has run lengths whose text is damaged")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise BadOutlineError("has run lengths whose text is cut off")
    return runs


_MOST_BITS = 60


def _shoelace(points: NDArray[np.float64]) -> float:
    """Give the area of a polygon."""
    x, y = (points - points[0]).T  # the first is 0, so what leads back to it adds nothing
    return abs(float(x[:-1] @ y[1:] - y[:-1] @ x[1:])) / 2


def quoted(entry: object) -> str:
    """Quote what a file holds, or its beginning."""
    text = repr(entry)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_LONGEST = 40


def masks_of(outlines: Sequence[Outline], size: Grid) -> Mask:
    """Give the masks of several objects, (objects, height, width)."""
    masks = np.empty((len(outlines), *size), np.uint8)
    for place, each in enumerate(outlines):
        masks[place] = each.mask(size)
    return masks
