"""Pictures with what is on them: boxes, outlines and tinted masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from visiongraft.detect.annotations import Objects
from visiongraft.detect.outlines import Outline
from visiongraft.detect.scores import Prediction

COLORS = (
    *((230, 97, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (240, 190, 30), (86, 180, 233)),
    *((140, 86, 75), (148, 103, 189), (214, 39, 40), (127, 180, 30)),
)
"""Of the categories, in turn; told apart by most who do not see all colours."""

_TINT = 0.35  # of a mask, over the photograph
SURE = 0.5
"""The score from which on a detector is rather sure of what it found."""


def draw_found(image: Image.Image, found: Prediction, *, names: Sequence[str], least: float = SURE) -> Image.Image:
    """Draw what a detector found on an image.

    Args:
        image: the photograph, at the size that the boxes are for.
        found: on it.
        names: of the categories, that of label 1 first.
        least: how sure it has to be of what is drawn.
    """
    sure = np.flatnonzero(found.scores >= least)
    words = [f"{_name(names, int(found.labels[each]))} {found.scores[each]:.2f}" for each in sure]
    shapes = None if found.masks is None else [found.masks[each] for each in sure]
    return _drawn(image, found.boxes[sure], found.labels[sure], words, shapes)


def draw_annotated(image: Image.Image, objects: Objects, *, names: Sequence[str]) -> Image.Image:
    """Draw what is annotated on an image. Arguments as in `draw_found`; crowds are left out."""
    chosen = objects.chosen(~objects.crowd)
    words = [_name(names, int(label)) for label in chosen.labels]
    shapes = [each for each in chosen.outlines if each is not None]
    return _drawn(image, chosen.boxes, chosen.labels, words, shapes if len(shapes) == len(words) else None)


def _name(names: Sequence[str], label: int) -> str:
    return names[label - 1] if 0 < label <= len(names) else str(label)


def _drawn(
    image: Image.Image,
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    words: Sequence[str],
    shapes: Sequence[Outline] | None,
) -> Image.Image:
    """Draw objects in the colours of their categories; with many of them, boxes lose their words."""
    tones = [COLORS[(int(label) - 1) % len(COLORS)] for label in labels]
    picture = _tinted(image, shapes, tones) if shapes else image.copy()
    pen = ImageDraw.Draw(picture)
    width = max(1, round(max(image.size) / _LINES))
    font = ImageFont.load_default(max(_SMALLEST_TEXT, max(image.size) / _TEXT_LINES))
    worded = len(words) <= _MANY
    for box, tone, text in zip(boxes.tolist(), tones, words, strict=True):
        x0, y0, x1, y1 = (round(side) for side in box)
        pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=tone, width=width)
        if worded:
            left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
            above = max(0, y0 - (bottom - top) - 2 * _MARGIN)
            pen.rectangle((x0, above, x0 + right - left + 2 * _MARGIN, above + bottom - top + 2 * _MARGIN), fill=tone)
            pen.text((x0 + _MARGIN - left, above + _MARGIN - top), text, fill=(255, 255, 255), font=font)
    return picture


_LINES = 400
_TEXT_LINES = 45
_SMALLEST_TEXT = 10
_MARGIN = 2
_MANY = 30


def _tinted(image: Image.Image, shapes: Sequence[Outline], tones: Sequence[tuple[int, int, int]]) -> Image.Image:
    """Lay masks over an image in their colours, one after the other."""
    pixels = np.asarray(image).astype(np.float32)
    for shape, tone in zip(shapes, tones, strict=True):
        inside = shape.mask((image.height, image.width)).astype(bool)
        pixels[inside] = (1.0 - _TINT) * pixels[inside] + _TINT * np.array(tone, np.float32)
    return Image.fromarray(pixels.round().astype(np.uint8))
