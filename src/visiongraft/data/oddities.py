"""What is odd about an image file that can be read: its name, its kind of pixels, its frames."""

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from visiongraft.data.findings import Severity
from visiongraft.data.images import DECODER_ERRORS, ORIENTATION, UPRIGHT, opened


class Oddity(NamedTuple):
    """One way to be odd.

    Args:
        severity: how much it matters.
        what: the files that are so, as a heading.
        remedy: what to do about them, as a sentence without its full stop.
    """

    severity: Severity
    what: str
    remedy: str


ODDITIES: Mapping[str, Oddity] = {
    "extension": Oddity(
        "warning",
        "Files of another format than their names end in",
        "They are read by their content; rename them, since other programs go by the name",
    ),
    "hollow": Oddity(
        "warning",
        "Files that end in zeros, as where copying broke off",
        "Look at them, and copy them anew: a part of the picture may be missing",
    ),
    "frames": Oddity(
        "warning",
        "Files of several frames or pages",
        "The first alone is read; save each frame that counts as a file of its own",
    ),
    "transparent": Oddity(
        "warning",
        "Images with transparent parts",
        "What lies under these parts shows, whatever it is; blend them with a background first",
    ),
    "cmyk": Oddity(
        "note",
        "Images in the colours of print (CMYK)",
        "They are converted without a colour profile; save them as RGB if their colours matter",
    ),
    "deep": Oddity(
        "note",
        "Images of more than 8 bits a channel",
        "The highest 8 are kept; if what matters lies in a narrow range, stretch it and save 8 bits",
    ),
    "palette": Oddity(
        "note",
        "Images with a palette, of 256 colours at most",
        "They are read as RGB; see that no class has many more of them than others, or that is what is learnt",
    ),
    "turned": Oddity(
        "note",
        "Images that are turned or mirrored as the camera noted (EXIF)",
        "They are read upright; see that whoever labelled them saw them so",
    ),
}
"""What may be odd about a file, by name; those above matter more."""

UNGUARDED = frozenset({"WEBP", "AVIF", "JPEG2000"})
"""Compressed formats without a mark at their end, so that zeros in the place of data may be decoded without an error.

Behind the mark of a JPEG, some cameras fill the file up with zeros.
"""

HOLLOW = 512
"""So many zeros at the end of such a file are no picture."""

_DEEP_MODES = ("I", "F")
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")


def oddities_of(path: Path) -> frozenset[str]:
    """Look at a file that `read_image` can read, and name what is odd about it, with keys of `ODDITIES`.

    Only transparency is looked for in the pixels. A file that changes or goes in the meantime has no oddities.
    """
    try:
        with path.open("rb") as stream, warnings.catch_warnings(action="ignore"), opened(stream) as image:
            found = set(_of_header(image, path))
            if image.format in UNGUARDED and _ends_in_zeros(path):
                found.add("hollow")
            if _has_frames(image):  # looks for a second one, and so comes after what is asked of the first
                found.add("frames")
            return frozenset(found)
    except DECODER_ERRORS:
        return frozenset()


def _of_header(image: Image.Image, path: Path) -> Iterator[str]:
    """Name what shows before the second frame is looked for."""
    if not _fits_name(image, path):
        yield "extension"
    if image.mode == "CMYK":
        yield "cmyk"
    if _is_deep(image):
        yield "deep"
    if image.mode in ("P", "PA"):
        yield "palette"
    orientation = image.getexif().get(ORIENTATION)
    if isinstance(orientation, int) and orientation in UPRIGHT:
        yield "turned"
    if _is_transparent(image):
        yield "transparent"


def _is_deep(image: Image.Image) -> bool:
    """Tell whether a file holds more than 8 bits a channel; of colours, Pillow only says so to its own decoders."""
    if image.mode.startswith(_DEEP_MODES):
        return True
    for tile in getattr(image, "tile", ()):
        asked = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if ";16" in str(asked[0]) or (tile[0] == "ppm" and asked[-1] > _MOST_IN_8_BITS):
            return True
    return False


_MOST_IN_8_BITS = 255


def _fits_name(image: Image.Image, path: Path) -> bool:
    """Tell whether a name ends as those of the file's format do. MPO is JPEG with further pictures behind."""
    promised = Image.registered_extensions().get(path.suffix.lower())
    held = {"MPO": "JPEG", "DIB": "BMP"}.get(image.format or "", image.format)
    return promised is None or {"MPO": "JPEG", "DIB": "BMP"}.get(promised, promised) == held


def _is_transparent(image: Image.Image) -> bool:
    """Tell whether any pixel lets something through; many files have a fourth channel that hides nothing."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return False
    low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return isinstance(low, int | float) and low < 255


def _has_frames(image: Image.Image) -> bool:
    """Tell whether there is a second frame; the further pictures of a camera's MPO are previews."""
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def _ends_in_zeros(path: Path) -> bool:
    """Tell whether a file ends in a long row of zeros."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - HOLLOW, 0))
        return size > HOLLOW and not any(stream.read(HOLLOW))
