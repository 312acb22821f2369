"""Measure how well near copies are found: how far copies are from their originals, and how many pairs are missed.

    python -m scripts.measure_copies DATA

DATA is what `--data` takes. Prints JSON: for each change, over 500 of the images to learn from, the median, the 99th
percentile and the largest number of bits by which the copy's perceptual hash differs, and the share of copies within
`NEAR`; then for all images the pairs that `near_pairs` finds, those that comparing each with each finds, and the
seconds of both and of the hashing. Run it alone, with OMP_NUM_THREADS=1. docs/data.md has what came out.
"""

import io
import json
import sys
from collections.abc import Callable, Mapping
from time import process_time

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from visiongraft.data.duplicates import NEAR, near_pairs, perceptual_hashes, shrunk
from visiongraft.data.sources import open_data

COPIES = 500
BLOCK = 128  # images that are compared with all others at once: 128 x 60,000 numbers of 64 bits are 60 MB


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Encode and decode."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def scaled(image: Image.Image, factor: float) -> Image.Image:
    """Resize both sides."""
    width, height = (max(round(side * factor), 1) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def brightened(image: Image.Image, factor: float) -> Image.Image:
    """Multiply all levels; what gets too bright is clipped."""
    return ImageEnhance.Brightness(image).enhance(factor)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Cut a share of each side off at each end."""
    left, top = round(image.width * share), round(image.height * share)
    return image.crop((left, top, image.width - left, image.height - top))


CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 90": lambda image: as_jpeg(image, 90),
    "JPEG of quality 50": lambda image: as_jpeg(image, 50),
    "JPEG of quality 20": lambda image: as_jpeg(image, 20),
    "half the size": lambda image: scaled(image, 0.5),
    "double the size": lambda image: scaled(image, 2.0),
    "squeezed to 1.5 times the width": lambda image: image.resize((image.width * 3 // 2, image.height)),
    "brightness x 1.1": lambda image: brightened(image, 1.1),
    "brightness x 1.3": lambda image: brightened(image, 1.3),
    "contrast x 0.8": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "without colour": lambda image: image.convert("L").convert("RGB"),
    "half the size, brightness x 1.1, JPEG of quality 50": lambda image: as_jpeg(
        brightened(scaled(image, 0.5), 1.1), 50
    ),
    "2% cut off at each edge": lambda image: cropped(image, 0.02),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}
"""Ways to change an image; the last two are not meant to be found."""


def plain_pairs(hashes: NDArray[np.uint16], within: int = NEAR) -> set[tuple[int, int]]:
    """Compare each hash with each: the definition of `near_pairs`."""
    whole = np.ascontiguousarray(hashes).view(np.uint64)  # b 4
    found: set[tuple[int, int]] = set()
    for start in range(0, len(whole), BLOCK):
        apart = np.zeros((len(whole[start : start + BLOCK]), len(whole) - start), np.uint16)
        for word in range(4):
            apart += np.bitwise_count(whole[start : start + BLOCK, word, None] ^ whole[None, start:, word])
        for row, column in np.argwhere(apart <= within).tolist():
            if row < column:
                found.add((start + row, start + column))
    return found


def hashes_of(images: list[Image.Image]) -> NDArray[np.uint16]:
    """Give the perceptual hashes of images."""
    return perceptual_hashes(np.stack([shrunk(each) for each in images]))


def measure_changes(images: list[Image.Image]) -> dict[str, dict[str, float]]:
    """Change images in every way, and compare the hashes."""
    own, found = hashes_of(images), {}
    for name, change in CHANGES.items():
        bits = np.bitwise_count(own ^ hashes_of([change(each) for each in images])).sum(axis=1, dtype=np.int64)
        median, most, largest = (int(each) for each in np.percentile(bits, [50, 99, 100]))
        found[name] = {"median": median, "p99": most, "largest": largest, "within": float((bits <= NEAR).mean())}
    return found


def main(data: str) -> dict[str, object]:
    """Measure."""
    opened = open_data(data)
    parts = (opened.train, opened.val)
    began = process_time()
    hashes = perceptual_hashes(np.stack([shrunk(part.load(index)) for part in parts for index in range(len(part))]))
    hashed = process_time()
    fast = {(int(first), int(second)) for first, second in near_pairs(hashes)}
    searched = process_time()
    plain = plain_pairs(hashes)
    compared = process_time()
    chosen = np.random.default_rng(0).permutation(len(opened.train))[:COPIES]
    return {
        "images": len(hashes),
        "changes": measure_changes([opened.train.load(int(index)) for index in chosen]),
        "pairs": {"near_pairs": len(fast), "each with each": len(plain), "missed": len(plain - fast)},
        "seconds": {"read and hash": hashed - began, "near_pairs": searched - hashed, "plain": compared - searched},
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1]), indent=1))
