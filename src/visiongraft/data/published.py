"""Data sets that torchvision knows by name. It finds and checks their files; we read the images as all others."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from visiongraft.data.folder import open_folder, split_by_name
from visiongraft.data.sets import ArrayImages, FileImages, ImageData, ImageSet, Labels, Parts, no_images
from visiongraft.errors import DataError, MissingExtra, counted
from visiongraft.files import DAMAGE

Download = Literal["never", "if_missing"]
"""Whether files may be fetched from the network."""

IMAGENET = "imagenet"
"""The one set that torchvision cannot fetch, and that everyone keeps as folders."""


@dataclass(frozen=True)
class Published:
    """A data set of torchvision's.

    Args:
        dataset: the name of its class in `torchvision.datasets`.
        train: how to ask that class for the images to learn from.
        val: how to ask it for those to be scored on; None where the authors made no split.
    """

    dataset: str
    train: Mapping[str, str | bool] = field(default_factory=lambda: {"train": True})
    val: Mapping[str, str | bool] | None = field(default_factory=lambda: {"train": False})


def _by_split(dataset: str, train: str, val: str) -> Published:
    """Describe a data set whose parts are asked for by name."""
    return Published(dataset, {"split": train}, {"split": val})


def _unsplit(dataset: str) -> Published:
    """Describe a data set without parts."""
    return Published(dataset, {}, None)


PUBLISHED: Mapping[str, Published] = {
    "cifar10": Published("CIFAR10"),
    "cifar100": Published("CIFAR100"),
    "country211": _by_split("Country211", "train", "valid"),
    "dtd": _by_split("DTD", "train", "val"),
    "eurosat": _unsplit("EuroSAT"),
    "fashionmnist": Published("FashionMNIST"),
    "fgvcaircraft": _by_split("FGVCAircraft", "trainval", "test"),
    "flowers102": _by_split("Flowers102", "train", "val"),
    "food101": _by_split("Food101", "train", "test"),
    "gtsrb": _by_split("GTSRB", "train", "test"),
    "imagenette": _by_split("Imagenette", "train", "val"),
    "kmnist": Published("KMNIST"),
    "mnist": Published("MNIST"),
    "oxfordiiitpet": _by_split("OxfordIIITPet", "trainval", "test"),
    "renderedsst2": _by_split("RenderedSST2", "train", "val"),
    "stl10": _by_split("STL10", "train", "test"),
    "sun397": _unsplit("SUN397"),
    "svhn": _by_split("SVHN", "train", "test"),
    "usps": Published("USPS"),
}
"""Data sets that torchvision can fetch and that give each image one label, by the name of their class.

Not all of them: those that would need a case of their own are absent, such as EMNIST (its images lie on their side),
QMNIST (eight numbers to a label), PCAM (HDF5), Caltech and INaturalist (lists without paths) and Places365 (it refuses
to be fetched twice).
"""


def open_published(name: str, root: Path, *, parts: Parts = "both", download: Download = "never") -> ImageData:
    """Open a data set by name.

    Args:
        name: a key of `PUBLISHED`, or "imagenet".
        root: the folder that torchvision calls `root`; for ImageNet the one that holds train/ and val/.
        parts: "val" leaves the images to learn from aside.
        download: whether torchvision may fetch what is missing.

    Returns:
        The data set. Where its authors made no split, a fifth is held out by file name.

    Raises:
        DataError: if the files are not there, or are damaged.
        MissingExtra: if torchvision needs a library to read them that is not installed.
    """
    if name == IMAGENET:
        return _open_imagenet(root, parts)
    published = PUBLISHED[name]
    if published.val is None:
        return _open_unsplit(name, root, parts, download)
    scored = _ask(name, root, published.val, download)
    val = _images(scored, "val", root)
    classes = _classes(scored, val.labels)
    if parts == "val":
        return ImageData(name, classes, no_images(), val)
    learnt = _ask(name, root, published.train, download)
    train = _images(learnt, "train", root)
    if _classes(learnt, train.labels) != classes:
        raise DataError(
            f"Looked for {name} in {str(root)!r}: its parts have other classes, so some of it is missing. "
            "Remove what is there and fetch it again, with --download if_missing."
        )
    return ImageData(name, classes, train, val)


def _open_unsplit(name: str, root: Path, parts: Parts, download: Download) -> ImageData:
    """Open a data set whose authors made no split."""
    whole = _ask(name, root, PUBLISHED[name].train, download)
    images = _images(whole, "train", root)
    assert isinstance(images, FileImages), "the unsplit sets of the table are files"
    classes = _classes(whole, images.labels)
    train, val = split_by_name(images, classes)
    note = f"{name} has no split of its own: {counted(len(val), 'image')} of {len(images):,} held out by file name."
    return ImageData(name, classes, train if parts == "both" else no_images(), val, (note,))


def _open_imagenet(root: Path, parts: Parts) -> ImageData:
    """Open ImageNet from its folders, whose names in sorted order are the usual order of its classes."""
    wanted = ("train", "val") if parts == "both" else ("val",)
    for part in wanted:
        if not (root / part).is_dir():
            raise DataError(
                f"imagenet is not in {str(root)!r}: there is no {part}/ with a folder for each class. It cannot be "
                "fetched without an account at image-net.org; torchvision.datasets.ImageNet unpacks its archives."
            )
    data = open_folder(root, parts=parts)
    return ImageData(IMAGENET, data.classes, data.train, data.val, data.notes)


def _ask(name: str, root: Path, part: Mapping[str, str | bool], download: Download) -> Any:  # noqa: ANN401
    """Have torchvision find the files. Its data sets share no type that says what they hold."""
    # Imported here: it takes a second, which no other way to open data has to spend.
    kind = getattr(import_module("torchvision.datasets"), PUBLISHED[name].dataset)
    try:
        # What torchvision prints while it downloads must not end up between the results of a command.
        with contextlib.redirect_stdout(sys.stderr):
            return kind(str(root), **part, download=download == "if_missing")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{name} needs {error.name}. Install it with: pip install {error.name}") from None
    except DAMAGE as error:
        if download == "never":
            what, remedy = "is not there, or damaged", "To fetch it, add --download if_missing."
        else:
            what, remedy = "could not be fetched", "Check the internet connection and the disk."
        said = re.sub(r" *You \w+ \w+ download=True[^.]*\.?", "", str(error))  # which is no option of ours
        reason = " ".join(said.split()) or type(error).__name__
        raise DataError(f"Looked for {name} in {str(root)!r}: it {what}. {remedy} (torchvision: {reason})") from None


def _images(dataset: Any, part: str, root: Path) -> ImageSet:  # noqa: ANN401
    """Take the images out of a data set of torchvision's, which holds them in one of three ways."""
    for name in ("samples", "_samples"):
        if hasattr(dataset, name):
            paths, labels = zip(*getattr(dataset, name), strict=True)
            return _files(paths, np.array(labels, np.int64), root)
    for name in ("_image_files", "_images"):
        if hasattr(dataset, name):
            return _files(getattr(dataset, name), np.array(dataset._labels, np.int64), root)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    pixels = np.asarray(dataset.data)  # b h w, b h w c, or b c h w
    if pixels.ndim == 4 and pixels.shape[1] == 3:
        pixels = pixels.transpose(0, 2, 3, 1)
    return ArrayImages(part, np.ascontiguousarray(pixels), np.asarray(labels, np.int64))


def _files(paths: Any, labels: Labels, root: Path) -> FileImages:  # noqa: ANN401
    """List files by what follows the folder of the classes, whatever torchvision unpacked above it."""
    names = [os.fspath(path) for path in paths]
    base = Path(os.path.commonpath(names)) if len(names) > 1 else root
    return FileImages(base, tuple(Path(name).relative_to(base).as_posix() for name in names), labels)


def _classes(dataset: Any, labels: Labels) -> tuple[str, ...]:  # noqa: ANN401
    """Name the classes; numbers where the authors gave no names, the first name where they gave several."""
    names = getattr(dataset, "classes", None)
    if names is None:
        return tuple(str(number) for number in range(int(labels.max()) + 1))
    return tuple(name if isinstance(name, str) else name[0] for name in names)
