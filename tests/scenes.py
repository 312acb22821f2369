"""Pictures that look like nothing else, and data sets of them as files."""

from pathlib import Path

import numpy as np
from PIL import Image


def scene(seed: int, width: int = 48, height: int = 48) -> Image.Image:
    """Make a smooth picture in random colours; no two seeds look alike."""
    spots = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)


def write_scenes(root: Path, *, train: int = 20, val: int = 50, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Write a data set in which nothing is wrong: `train` and `val` images of each class, as PNG files."""
    seed = 0
    for part, count in (("train", train), ("val", val)):
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                scene(seed).save(folder / f"{index}.png")
                seed += 1
    return root
