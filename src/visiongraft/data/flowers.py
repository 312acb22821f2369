"""The flower photographs that travel inside the package; `flowers64.tsv` beside them says who took each."""

import zipfile
from importlib.resources import files

import numpy as np

from visiongraft.data.images import read_image
from visiongraft.data.sets import ArrayImages, ImageData, Parts, no_images

NAME = "flowers"
"""What `--data` calls them."""

CLASSES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
"""The folders of the archive."""

CREDIT = "The photographs are under CC BY 2.0; visiongraft/data/flowers64.tsv names their photographers and sources."


def open_flowers(*, parts: Parts = "both") -> ImageData:
    """Decode the bundled photographs: 2,922 to learn from and 748 to be scored on, of 64 x 64 pixels.

    Source: TensorFlow's flower_photos, CC BY 2.0; `scripts/make_flowers.py` made the archive.
    """
    with files("visiongraft.data").joinpath("flowers64.zip").open("rb") as stream, zipfile.ZipFile(stream) as archive:
        train = _decode(archive, "train") if parts == "both" else no_images()
        return ImageData(NAME, CLASSES, train, _decode(archive, "val"), (CREDIT,))


def _decode(archive: zipfile.ZipFile, part: str) -> ArrayImages:
    """Decode all photographs of a part: 45 MB as pixels, read once, where each epoch would decode 7 MB anew."""
    names = [name for name in archive.namelist() if name.startswith(f"{part}/")]
    pixels = np.stack([np.asarray(read_image(archive.read(name), name=name)) for name in names])  # b h w c
    labels = np.array([CLASSES.index(name.split("/")[1]) for name in names], np.int64)
    return ArrayImages(part, pixels, labels, tuple(names))
