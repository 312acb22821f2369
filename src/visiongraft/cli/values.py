"""Values that several verbs take, from the form in which a user writes them."""

import re
from pathlib import Path

from visiongraft.errors import GraftError, WeightsError
from visiongraft.kernels.types import Grid
from visiongraft.weights.store import Trained, read

_LARGEST = 8192  # pixels a side; beyond, one image alone fills the memory of most machines

BEST = "best.safetensors"


def parse_image(text: int | str | None) -> Grid | None:
    """Read an image size: 224 for a square, 256x128 for height and width.

    Raises:
        GraftError: if it is neither.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", str(text).strip().lower())
    if not found or int(found[1]) == 0 or found[2] == "0":
        raise GraftError(f"--image takes pixels, as 224 or as 256x128 for height and width, and got {text!r}.")
    height, width = int(found[1]), int(found[2] or found[1])
    if max(height, width) > _LARGEST:
        raise GraftError(f"--image takes at most {_LARGEST} pixels a side, and got {text}.")
    return height, width


def read_weights(path: Path, image: int | str | None) -> Trained:
    """Read a weight file, or the best one of a run folder."""
    file = path / BEST if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise WeightsError(f"{path} holds no {BEST}. Give a run folder of `graft train`, or a .safetensors file.")
    return read(file, image=parse_image(image))
