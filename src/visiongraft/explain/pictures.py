"""Photographs inside a page."""

from base64 import b64encode
from io import BytesIO

from PIL import Image

from visiongraft.data.images import UnreadableImage
from visiongraft.data.sets import ImageSet

_QUALITY = 85


def picture_of(images: ImageSet, index: int, side: int) -> str | None:
    """Give an image as the address of itself, which an `<img>` shows without reading anything.

    Args:
        images: where it comes from.
        index: its place there.
        side: longest side in pixels; larger ones are shrunk.

    Returns:
        A data URI of a JPEG, or None where the image cannot be read any more.
    """
    try:
        image = images.load(index)
    except UnreadableImage:
        return None
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY, subsampling="4:4:4", optimize=True)
    return "data:image/jpeg;base64," + b64encode(stream.getvalue()).decode("ascii")
