"""Tiny data sets for tests that train or score."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 24


def stripes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make pictures of two kinds, with upright and with lying stripes, in random colours: (images, labels)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    wave = (np.sin(np.arange(SIDE) * 1.6) > 0)[None, :, None]  # 1 w 1
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for index, label in enumerate(labels):
        dark, light = rng.integers(0, 100, 3), rng.integers(156, 256, 3)
        picture = np.where(wave, dark, light).repeat(SIDE, 0)
        images[index] = picture if label == 0 else picture.transpose(1, 0, 2)
    return images, labels


def write_npz(path: Path, *, train: int = 64, val: int = 32) -> Path:
    """Write stripes as an .npz file."""
    train_images, train_labels = stripes(train)
    val_images, val_labels = stripes(val, seed=1)
    np.savez(
        path,
        train_images=train_images,
        train_labels=train_labels,
        val_images=val_images,
        val_labels=val_labels,
        classes=np.array(["upright", "lying"]),
    )
    return path


def write_folder(root: Path, *, train: int = 32, val: int = 16, end: str = "png") -> Path:
    """Write stripes as files in ImageFolder layout, in the format that the end of their names tells."""
    for part, count, seed in (("train", train, 0), ("val", val, 1)):
        for index, (image, label) in enumerate(zip(*stripes(count, seed), strict=True)):
            folder = root / part / ("upright", "lying")[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{index:03d}.{end}")
    return root
