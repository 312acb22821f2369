"""One `.npz` file of images and labels, in the layout of MedMNIST."""

from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from visiongraft.data.sets import ArrayImages, ImageData, Labels, Parts, Pixels, no_images
from visiongraft.errors import DataError, printable
from visiongraft.files import DAMAGE

ARRAYS = "train_images, train_labels, val_images, val_labels"
"""What a file holds."""

MOST_CLASSES = 1_000_000
"""More than any data set has: larger labels are no numbers of classes."""

Array = NDArray[np.generic]


def open_npz(path: Path, *, parts: Parts = "both") -> ImageData:
    """Read a data set from one file of numpy arrays.

    Args:
        path: an `.npz` with `train_images`, `train_labels`, `val_images`, `val_labels`, and if wanted `classes`, the
            names of the classes. Images are uint8: (count, height, width), or the same with 1, 3 or 4 channels as the
            last axis. Labels are integers from 0: (count,) or (count, 1). Where there is no val, `test_images` and
            `test_labels` take its place. Nothing in the file is unpickled.
        parts: "val" leaves the training images aside, and asks for nothing of them.

    Returns:
        The data set, named after the file. Without `classes` they are called "0", "1", ...

    Raises:
        DataError: if the file is damaged, an array is missing, of another type or shape, or labels do not fit.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DataError(
            f"{str(path)!r} cannot be opened: {error.strerror}. Make it readable, or give another."
        ) from None
    with stream:
        try:
            archive = np.load(stream, allow_pickle=False)
        except DAMAGE:
            raise DataError(
                f"{str(path)!r} is not an .npz file, or it is cut short. Write it with numpy.savez_compressed."
            ) from None
        if not isinstance(archive, NpzFile):
            raise DataError(
                f"{str(path)!r} holds a single array. Expected an .npz with {ARRAYS}. Write it with "
                "numpy.savez_compressed."
            )
        with archive:
            return _ArrayFile(path, archive).data(parts)


class _ArrayFile:
    """An open file: what is said of its arrays begins with its name."""

    def __init__(self, path: Path, archive: NpzFile) -> None:
        self.path = path
        self.archive = archive

    def data(self, parts: Parts) -> ImageData:
        """Read and check all that is wanted."""
        held_out = "test" if "val_images" not in self.archive and "test_images" in self.archive else "val"
        if parts == "val" and not {"classes", "train_labels"} & set(self.archive):
            classes = self.counted_classes(f"{held_out}_labels", self.labels(held_out))
        else:
            classes = self.classes()
        train = self.images("train", classes) if parts == "both" else no_images()
        val = self.images(held_out, classes)
        note = f"{str(self.path)!r} comes without val_images: test_images take their place."
        return ImageData(str(self.path), classes, train, val, (note,) if held_out == "test" else ())

    def images(self, part: str, classes: tuple[str, ...]) -> ArrayImages:
        """Read the images of a part, with labels that are places in `classes`."""
        pixels, labels = self.pixels(part), self.labels(part)
        if len(pixels) != len(labels):
            raise self.error(
                f"{part}_images holds {len(pixels)} images and {part}_labels {len(labels)} labels. "
                "Each image needs one label: save both from one list."
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(classes):
            hint = "Leave such images out, or put some of their classes into train."
            if "classes" in self.archive:
                hint = "Correct them, or add the names that are missing to the array `classes`."
            raise self.error(
                f"{part}_labels go from {low} to {high}. Expected 0 to {len(classes) - 1}, "
                f"one number for each of the {len(classes)} classes. {hint if low >= 0 else 'Number them from 0.'}"
            )
        return ArrayImages(part, pixels, labels)

    def pixels(self, part: str) -> Pixels:
        """Read the pixels of a part."""
        name = f"{part}_images"
        pixels = self.array(name)
        if pixels.dtype != np.uint8:
            raise self.error(
                f"{name} is of {pixels.dtype}. Expected uint8. Save it scaled to 0 to 255 and .astype(numpy.uint8)."
            )
        if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3, 4)):
            hint = ""
            if pixels.ndim == 4 and pixels.shape[1] in (1, 3, 4):
                hint = f" Move the channels to the end: {name}.transpose(0, 2, 3, 1)."
            raise self.error(
                f"{name} is of shape {pixels.shape}. Expected (count, height, width), or the same with 1, 3 or 4 "
                f"channels as a last axis.{hint}"
            )
        if pixels.size == 0:
            raise self.error(f"{name} of shape {pixels.shape} holds no pixel. Put images into it.")
        return pixels.astype(np.uint8, copy=False)

    def labels(self, part: str) -> Labels:
        """Read the labels of a part."""
        name = f"{part}_labels"
        labels = self.array(name)
        if not np.issubdtype(labels.dtype, np.integer):
            raise self.error(
                f"{name} is of {labels.dtype}. Expected integers, one class number for each image. Save it as int."
            )
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            hint = " Of rows with a one in the class's place, save .argmax(1)." if labels.ndim == 2 else ""
            raise self.error(
                f"{name} is of shape {labels.shape}. Expected (count,): one class number for each image.{hint}"
            )
        if labels.size and labels.max() > np.iinfo(np.int64).max:  # of uint64, which would wrap around
            raise self.error(f"{name} go up to {labels.max()}. Number the classes from 0.")
        return labels.astype(np.int64)

    def array(self, name: str) -> Array:
        """Read an array."""
        if name not in self.archive:
            held = ", ".join(sorted(self.archive)) or "nothing"
            raise self.error(f"{name} is missing. Expected {ARRAYS}; it holds {held}.")
        try:
            return self.archive[name]
        except MemoryError:
            raise self.error(f"{name} does not fit into memory. Keep large sets as a folder of images.") from None
        except DAMAGE as error:
            if "allow_pickle" in str(error):
                raise self.error(
                    f"{name} is of Python objects, which are never unpickled. Save it as numbers or strings."
                ) from None
            raise self.error(f"{name} is damaged ({' '.join(str(error).split())}). Write the file again.") from None

    def classes(self) -> tuple[str, ...]:
        """Read the names of the classes, or number them as the training labels do."""
        named = "classes" in self.archive
        if not named and self.labels("train").size == 0:
            raise self.error(
                "train_labels holds no label, and so there is no image to learn from. Put images into it."
            )
        classes = self.named_classes() if named else self.numbered_classes()
        if len(classes) < 2:
            raise self.error("it holds only one class. Put images of another into it, since two make a difference.")
        return classes

    def named_classes(self) -> tuple[str, ...]:
        """Read the names of the classes."""
        names = self.array("classes")
        if names.ndim != 1 or names.dtype.kind != "U":
            raise self.error(f"classes is of {names.dtype} and shape {names.shape}. Save a list of strings.")
        if len(np.unique(names)) < len(names):
            raise self.error("classes names one class twice. Give each class its own name.")
        return tuple(str(name) for name in names)

    def numbered_classes(self) -> tuple[str, ...]:
        """Number the classes. A number without images would be a class that cannot be learnt."""
        used = np.unique(self.labels("train"))
        expected = np.arange(len(used))
        if not np.array_equal(used, expected):
            if np.array_equal(used, expected + used[0]):
                hint = f" Subtract {used[0]}." if used[0] > 0 else f" Add {-used[0]}."
            else:
                hint = " To renumber them: numpy.unique(labels, return_inverse=True)[1]."
            named = ", or the array `classes` that names those without images too" if used[0] >= 0 else ""
            raise self.error(
                f"train_labels are {len(used)} different numbers from {used[0]} to {used[-1]}. Expected every number "
                f"from 0 to {len(used) - 1}{named}.{hint}"
            )
        return tuple(str(number) for number in used)

    def counted_classes(self, name: str, labels: Labels) -> tuple[str, ...]:
        """Number the classes where only images to be scored came: they need not show all that a network knows."""
        if labels.size == 0 or labels.min() < 0 or labels.max() >= MOST_CLASSES:
            raise self.error(f"{name} holds no numbers, or some below 0 or above {MOST_CLASSES - 1}. Number from 0.")
        return tuple(str(number) for number in range(int(labels.max()) + 1))

    def error(self, what: str) -> DataError:
        """Make an error that begins with the file. Names out of a damaged one must not break the line."""
        return DataError(f"{str(self.path)!r}: {printable(what)}")
