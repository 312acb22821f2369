"""What is wrong with a data set of labelled images, found before the first step. Nothing is mended here."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visiongraft.data.checks import check_classes, check_colors, check_files, check_sizes
from visiongraft.data.copies import check_copies
from visiongraft.data.delivery import Delivery, measure_delivery
from visiongraft.data.findings import Finding, by_severity
from visiongraft.data.folder import list_folder
from visiongraft.data.memory import memory_of_machine
from visiongraft.data.published import Download
from visiongraft.data.sets import ImageData
from visiongraft.data.sources import data_names, open_data
from visiongraft.data.survey import Survey, survey
from visiongraft.errors import DataError
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import RGB, Preprocessing


@dataclass(frozen=True, eq=False)
class Patient:
    """A data set to be examined, perhaps one that a training would refuse.

    Args:
        data: its images.
        refusal: what a training would say of it, or an empty string.
    """

    data: ImageData
    refusal: str = ""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found.

    Args:
        seen: what the images are.
        image: height and width in pixels of the network that is asked for.
        findings: the grave ones first.
        mean: of the images to learn from that can be read, each counting alike, on the scale 0 to 1; None without any.
        deviation: of their pixels, likewise.
        delivery: how fast the loader delivers; None where it has nothing to deliver.
        pixel_bytes: what the pixels of all images take as uint8, at their own sizes.
        memory: how many bytes of memory this machine has, or grants; None where it does not tell.
    """

    seen: Survey
    image: Grid
    findings: tuple[Finding, ...]
    mean: RGB | None
    deviation: RGB | None
    delivery: Delivery | None
    pixel_bytes: int
    memory: int | None

    @property
    def grave(self) -> int:
        """How many findings are grave."""
        return sum(each.severity == "grave" for each in self.findings)


def admit(data: str | None, *, data_dir: Path | None = None, download: Download = "never") -> Patient:
    """Open a data set as `open_data` does, but a folder also where a training would refuse it.

    Raises:
        DataError: if there are no images with classes to look at.
        MissingExtra: if torchvision needs a library that is not installed.
    """
    try:
        return Patient(open_data(data, data_dir=data_dir, download=download))
    except DataError as refusal:
        if data and data_dir is None and data.lower() not in data_names():
            folder = Path(os.path.expanduser(data))  # noqa: PTH111 - Path.expanduser raises where there is no such user
            with suppress(DataError, OSError, ValueError):
                if folder.is_dir():
                    return Patient(list_folder(folder), str(refusal))
        raise


def examine(
    patient: Patient, image: Grid, *, workers: int = 0, on_images: Callable[[int], None] | None = None
) -> Diagnosis:
    """Read every image once, look for all that is known to go wrong, and measure how fast images arrive.

    Args:
        patient: the data set.
        image: height and width in pixels that the network will be shown.
        workers: processes that read images beside this one.
        on_images: told now and then how many more images were read.
    """
    data = patient.data
    seen = survey(data, workers=workers, on_images=on_images)
    mean, deviation = _colors(seen)
    findings = [*_check_layout(patient), *check_files(seen), *check_classes(seen), *check_copies(seen)]
    findings += check_sizes(seen, image)
    if mean is not None and deviation is not None:
        findings += check_colors(mean, deviation, Preprocessing(image))
    any_to_learn = bool((seen.readable & ~seen.held_out).any())
    return Diagnosis(
        seen,
        image,
        by_severity(findings),
        mean,
        deviation,
        measure_delivery(data.train, image, workers=workers) if any_to_learn else None,
        int(seen.seen.sizes.astype(np.int64).prod(axis=1).sum()) * 3,
        memory_of_machine(),
    )


def _check_layout(patient: Patient) -> Iterator[Finding]:
    """Repeat why a training would refuse the data."""
    if patient.refusal:
        what, _, remedy = patient.refusal.removesuffix(".").partition(". ")
        yield Finding("refused", "grave", what, remedy)


def _colors(seen: Survey) -> tuple[RGB, RGB] | tuple[None, None]:
    """Give mean and deviation of the pixels to learn from."""
    chosen = seen.readable & ~seen.held_out
    if not chosen.any():
        return None, None
    mean = seen.seen.means[chosen].mean(axis=0, dtype=np.float64)
    square = seen.seen.squares[chosen].mean(axis=0, dtype=np.float64)
    red, green, blue = mean.tolist()
    deep_red, deep_green, deep_blue = np.sqrt(np.maximum(square - mean**2, 0.0)).tolist()
    return (red, green, blue), (deep_red, deep_green, deep_blue)
