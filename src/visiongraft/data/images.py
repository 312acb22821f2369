"""One image file or byte string in, one 8-bit RGB image out, or one line that says why not."""

import contextlib
import io
import struct
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Literal

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from visiongraft.errors import DataError
from visiongraft.files import DAMAGE

MAX_PIXELS = 89_478_485
"""The largest image that is decoded, as width times height: Pillow's own line, above which it warns of a bomb."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "PPM", "TIFF", "AVIF", "JPEG2000")
"""What is read, where Pillow has it. It knows more, of which some are no pictures: EPS would start Ghostscript."""

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib")
    + (".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".avif", ".jp2")
)
"""How the name of an image file ends, in lower case."""

DECODER_ERRORS = (*DAMAGE, ArithmeticError, TypeError, MemoryError, Image.DecompressionBombError)
"""All that Pillow's decoders raise on damaged bytes; `tests/data/test_images.py` damages some to see it."""

ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, for each value of the tag but 1, which says that it is."""


Orientation = Literal["upright", "stored"]
"""How an image is given: as the camera was held, or as the file has its rows."""

_Reader = tuple[Callable[[IO[bytes], str | bytes], ImageFile.ImageFile], Callable[[bytes], bool | str] | None]
"""How Pillow opens a format, and how it knows it by its first bytes."""

_LYING = tuple(turn for tag, turn in UPRIGHT.items() if tag >= 5)
"""The turns that make a width of a height."""


class UnreadableImage(DataError):
    """One image that cannot be read.

    Args:
        name: the file, or the place in a data set.
        reason: what is wrong with it, as the rest of a sentence.
    """

    def __init__(self, name: str, reason: str) -> None:
        """Keep both parts: a training run counts and lists its failures, and goes on."""
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        """Say it in one line, whatever characters the name holds."""
        return f"Cannot read {self.name!r} as an image: {self.reason}."


def read_image(source: Path | bytes, *, name: str | None = None, orientation: Orientation = "upright") -> Image.Image:
    """Read an image as 8-bit RGB, upright unless asked otherwise.

    The pixels are those of torchvision's `default_loader`, and so of the published scores, with two differences: the
    camera's orientation (EXIF) is applied, and 16-bit gray keeps its high byte where `convert` would clip it to white
    (32-bit gray too, unless all of it fits into 8). Transparency is dropped, not blended: what lies under it shows.
    Of an animation the first frame is read.

    Args:
        source: a file, or its content.
        name: what to call it in an error; the path where it is not given.
        orientation: "stored" leaves it as it lies in the file, whatever the camera noted.

    Returns:
        An image of mode RGB, decoded in full.

    Raises:
        UnreadableImage: if it is missing, empty, damaged, of a format that is not in `FORMATS`, of more than
            `MAX_PIXELS` pixels (found in its header, before anything is decoded), or of floating-point pixels.
    """
    if isinstance(source, bytes):
        return _read_stream(io.BytesIO(source), name or "bytes", orientation)
    name = name or str(source)
    try:
        # Not every path is a file: a folder cannot be read, and a pipe would be waited for.
        if source.exists() and not source.is_file():
            raise UnreadableImage(name, "it is a folder" if source.is_dir() else "it is no regular file")
        with source.open("rb") as stream:
            return _read_stream(stream, name, orientation)
    except FileNotFoundError:
        raise UnreadableImage(name, "there is no such file") from None
    except PermissionError:
        raise UnreadableImage(name, "its permissions forbid it") from None
    except OSError as error:
        raise UnreadableImage(name, f"the file cannot be opened ({error.strerror or error})") from None


def declared_pixels(path: Path) -> int:
    """Give how many pixels a file declares to have, of which none is decoded; 0 where `read_image` would refuse it."""
    height, width = image_size(path, orientation="stored") or (0, 0)
    return width * height


def image_size(path: Path, *, orientation: Orientation = "upright") -> tuple[int, int] | None:
    """Give the height and width that `read_image` would give, from the header; None where it would refuse the file."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream, warnings.catch_warnings(action="ignore"), opened(stream) as image:
            width, height = image.size
            turn = _needed_turn(image) if orientation == "upright" else None
    except (OSError, *DECODER_ERRORS):
        return None
    if width * height > MAX_PIXELS:
        return None
    return (width, height) if turn in _LYING else (height, width)


def _read_stream(stream: io.BytesIO | io.BufferedReader, name: str, orientation: Orientation) -> Image.Image:
    """Read an image from an open file."""
    start = stream.read(8)
    if not start:
        raise UnreadableImage(name, "the file is empty (0 bytes)")
    try:
        # Pillow's warnings (a large header, odd EXIF data) are for a program's author. What matters of them is an
        # error below, and must not depend on how this process filters warnings.
        with warnings.catch_warnings(action="ignore"), opened(stream) as image:
            _refuse_gigantic(image.size, name)
            image.load()
            turn = _needed_turn(image) if orientation == "upright" else None
            rgb = _to_rgb(image, name)
            return rgb if turn is None else rgb.transpose(turn)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError:  # such as a frame of an animation that is larger than the animation
        raise UnreadableImage(name, f"it has more than {2 * MAX_PIXELS:,} pixels; {_LIMIT}") from None
    except UnidentifiedImageError:
        reason = f"it is damaged, or no image of a known format (it starts with {start!r})"
        raise UnreadableImage(name, reason) from None
    except DECODER_ERRORS as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(name, f"it is damaged ({detail})") from None


@cache
def _readers() -> tuple[_Reader, ...]:
    """Give how each of `FORMATS` is opened that this Pillow was built with."""
    Image.init()
    return tuple(Image.OPEN[each] for each in FORMATS if each in Image.OPEN)


def opened(stream: IO[bytes]) -> ImageFile.ImageFile:
    """Open an image, of which only the header is read.

    `Image.open` is not asked. Other libraries put functions of their own in its place: Ultralytics one that installs a
    package for a file that it cannot read. And it would refuse a gigantic image without saying how large that is.

    Raises:
        UnidentifiedImageError: if the content is of no format in `FORMATS`, or damaged at its beginning.
        OSError: or another of `DECODER_ERRORS`, if it is damaged there in a way that its format tells.
    """
    stream.seek(0)
    start = stream.read(_SIGNATURE)
    for factory, accepts in _readers():
        if accepts is None or accepts(start) is True:  # otherwise it may be a warning
            stream.seek(0)
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(stream, "")
    raise UnidentifiedImageError("It is an image of no known format.")


_SIGNATURE = 16
"""Bytes by which formats are told apart."""


_LIMIT = f"at most {MAX_PIXELS:,} are read, so shrink it first"


def _refuse_gigantic(size: tuple[int, int], name: str) -> None:
    """Stop before memory for the pixels is taken: a few bytes can declare any size."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(name, f"it has {width} x {height} pixels; {_LIMIT}")


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn any mode of Pillow's into RGB."""
    if image.mode == "F":
        raise UnreadableImage(name, "its pixels are floating-point numbers without a known range; save it as 8 bit")
    if image.mode.startswith("I"):
        image = Image.fromarray(_high_byte(image, name))
    # By way of RGBA, since that is the only conversion that Pillow defines for a palette with transparent entries.
    elif image.mode == "PA" or (image.mode == "P" and "transparency" in image.info):
        image = image.convert("RGBA")
    return image.convert("RGB")


def _high_byte(image: Image.Image, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Keep the high byte of 16-bit pixels, as Pillow itself does for 16-bit colour.

    Pixels of 32 bits carry no range. Where none is above 255 they are 8-bit ones in a wide coat, and are kept: their
    high byte would be black. A PGM file tells its range, and Pillow has scaled it to 16 bits.
    """
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise UnreadableImage(name, f"its pixels go from {low} to {high}; save it as 8 or 16 bit")
    narrow = image.mode == "I" and image.format != "PPM" and high <= 0xFF
    return (values if narrow else values >> 8).astype(np.uint8)


def _needed_turn(image: Image.Image) -> Image.Transpose | None:
    """Look up what turns the image upright. Damaged EXIF data says nothing about that, and spoils no pixel."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except DECODER_ERRORS:
        return None
    return UPRIGHT.get(orientation) if isinstance(orientation, int) else None
