"""Make the .npz file of CIFAR-10 that `graft train --data` takes, from mosaics of its images.

    python scripts/make_cifar10.py FOLDER TARGET

FOLDER holds train_0.webp to train_4.webp, test_0.webp and classes.txt: lossless mosaics of 100 x 100 images of 32 x 32
pixels, the class of each being its place modulo 10. They are those of A. Krizhevsky, in another order.
Where there is a network, `graft train --data cifar10 --data-dir FOLDER --download if_missing` brings them as well.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
ACROSS = 100


def images_of(mosaic: Path) -> NDArray[np.uint8]:
    """Cut a mosaic into its images, row by row: (count, SIDE, SIDE, 3)."""
    pixels = np.asarray(Image.open(mosaic).convert("RGB")).reshape(ACROSS, SIDE, ACROSS, SIDE, 3)
    return pixels.transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3)


def main() -> None:
    """Make it."""
    if len(sys.argv) != 3:
        sys.exit("Expected two words: the folder with the mosaics, and the file to write.")
    folder, target = map(Path, sys.argv[1:])
    classes = (folder / "classes.txt").read_text().split()
    train = np.concatenate([images_of(folder / f"train_{number}.webp") for number in range(5)])
    test = images_of(folder / "test_0.webp")
    np.savez(
        target,
        train_images=train,
        train_labels=np.arange(len(train)) % len(classes),
        val_images=test,
        val_labels=np.arange(len(test)) % len(classes),
        classes=np.array(classes),
    )


if __name__ == "__main__":
    main()
