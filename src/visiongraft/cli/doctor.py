"""`graft doctor`."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from visiongraft.cli.arguments import Spread
from visiongraft.cli.groups import Images
from visiongraft.cli.objects import facts_of_objects, objects_as_json, rows_of_faults
from visiongraft.cli.progress import counting
from visiongraft.cli.tables import write_table
from visiongraft.cli.values import ImageSize, check_workers, check_writable, parse_image
from visiongraft.data.checks import counts_of
from visiongraft.data.delivery import Delivery
from visiongraft.data.doctor import Diagnosis, admit, examine
from visiongraft.data.findings import Finding
from visiongraft.data.sources import data_names
from visiongraft.detect.doctor import DetectionDiagnosis, FaultFinding, examine_detection
from visiongraft.detect.opening import is_detection, list_detection
from visiongraft.errors import counted, printable
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from visiongraft.train.devices import workers_for
from visiongraft.train.recipes import DEFAULT, find_recipe

EXAMPLES = 5
"""How many of the images of a finding --json names; --list names all."""


def run(
    *,
    images: Annotated[Images, Spread()],
    image: ImageSize | None = None,
    workers: Literal["auto"] | int = "auto",
    list: Path | None = None,
) -> Diagnosis | DetectionDiagnosis:
    """Examine images with labels or boxes before the first step of a training, and say what to do about what is found.

    Every image is read once. Looked for are files that cannot be read or are odd, classes that are small or missing,
    copies within and between the parts and the classes, and images of unfit sizes. How many images per second the
    loader delivers is measured. Of data with boxes (COCO's json, YOLO's text files, VOC's xml files), annotations are
    looked at too. Nothing is changed: --list writes down which files are meant.

    The exit code is 1 where something grave was found: what ends a training, or makes its score mean something else.

    Examples:
        graft doctor --data photos/
        graft doctor --data photos/ --image 224 --list odd.csv
        graft doctor --data cifar10 --data-dir downloads/ --json

    Args:
        images: which ones
        data: a folder of images or of images with boxes, an .npz file, a name such as cifar10, or litdata: and the
            folder or bucket of shards; by default the bundled flowers
        image: size in pixels that a network will be shown, as 224 or as 256x128 for height and width; by default that
            of the network that graft train takes by default
        workers: processes that read images; auto for none if they are in memory, else one per spare core
        list: also write a table of all images that were found to this file
    """
    check_workers(workers)
    size = parse_image(image) or get_spec(find_recipe(DEFAULT).model).image
    if list is not None:
        check_writable(list, "--list", kind="file")
    found: Diagnosis | DetectionDiagnosis
    data = images.data
    if data and images.data_dir is None and data.lower() not in data_names() and is_detection(data):
        found = _examine_objects(data, workers)
    else:
        found = _examine_images(images, size, workers)
    if list is not None:
        write_table(list, _rows(found), "--list")
    return found


def _examine_objects(data: str, workers: Literal["auto"] | int) -> DetectionDiagnosis:
    """Examine data with boxes."""
    objects = list_detection(data)
    for note in objects.notes:
        print(printable(note), file=sys.stderr)
    with counting(len(objects.train) + len(objects.val), "examined") as advance:
        return examine_detection(objects, workers=workers_for(workers, in_memory=False), on_images=advance)


def _examine_images(images: Images, size: tuple[int, int], workers: Literal["auto"] | int) -> Diagnosis:
    """Examine data with classes."""
    patient = admit(images.data, data_dir=images.data_dir, download=images.download)
    data = patient.data
    for note in data.notes:
        print(printable(note), file=sys.stderr)
    processes = workers_for(workers, in_memory=data.native is not None)
    with counting(len(data.train) + len(data.val), "examined") as advance:
        return examine(patient, size, workers=processes, on_images=advance)


def as_json(found: Diagnosis | DetectionDiagnosis) -> dict[str, object]:
    """Give the findings, and what was measured."""
    measured = objects_as_json(found) if isinstance(found, DetectionDiagnosis) else _images_as_json(found)
    return {
        **measured,
        "sizes": _sizes(found),
        "grave": found.grave,
        "findings": [_finding_as_json(found, each) for each in found.findings],
    }


def _images_as_json(found: Diagnosis) -> dict[str, object]:
    """Give what was measured of images with classes."""
    data = found.seen.data
    learnt, scored = counts_of(found.seen)
    return {
        "data": data.name,
        "images": {"train": len(data.train), "val": len(data.val)},
        "classes": [
            {"name": name, "train": int(train), "val": int(val)}
            for name, train, val in zip(data.classes, learnt, scored, strict=True)
        ],
        "mean": found.mean,
        "std": found.deviation,
        "loader": found.delivery and _delivery_as_json(found.delivery),
        "pixel_bytes": found.pixel_bytes,
        "memory_bytes": found.memory,
    }


def _sizes(found: Diagnosis | DetectionDiagnosis) -> dict[str, list[int]] | None:
    """Give the smallest, the median and the largest height and width; each of the two by itself."""
    sizes = found.seen.seen.sizes[found.seen.readable]
    if len(sizes) == 0:
        return None
    rows = {"smallest": sizes.min(axis=0), "median": np.median(sizes, axis=0), "largest": sizes.max(axis=0)}
    return {name: [int(side) for side in row] for name, row in rows.items()}


def _delivery_as_json(delivery: Delivery) -> dict[str, object]:
    return {
        "images_per_second": delivery.images_per_second,
        "image": [*delivery.image],
        "workers": delivery.workers,
        "batch_size": delivery.batch_size,
        "rounds": delivery.rounds,
    }


def _finding_as_json(found: Diagnosis | DetectionDiagnosis, finding: Finding) -> dict[str, object]:
    names = [{key: value for key, value in row.items() if value} for row in _images_of(found, finding, EXAMPLES)]
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "text": finding.what,
        "remedy": finding.remedy,
        "count": _count(finding),
        "examples": names,
    }


def _images_of(
    found: Diagnosis | DetectionDiagnosis, finding: Finding, most: int | None = None
) -> Iterator[dict[str, str]]:
    """Describe the images of a finding."""
    if isinstance(finding, FaultFinding):
        yield from rows_of_faults(finding, most)
        return
    seen = found.seen
    for row, place in enumerate(finding.places[:most].tolist()):
        yield {
            "file": seen.name_of(place),
            "part": "val" if seen.held_out[place] else "train",
            "class": "" if isinstance(found, DetectionDiagnosis) else seen.data.classes[seen.labels[place]],
            "twin": seen.name_of(int(finding.twins[row])) if len(finding.twins) else "",
            "detail": finding.details.get(place, ""),
        }


def _count(finding: Finding) -> int:
    """Give how many images or faults a finding is about."""
    return len(finding.faults) if isinstance(finding, FaultFinding) else len(finding.places)


def _rows(found: Diagnosis | DetectionDiagnosis) -> Iterator[Sequence[str]]:
    """Give the table of all images that were found, the names of its columns first."""
    yield ("finding", "severity", "file", "part", "class", "twin", "detail")
    for finding in found.findings:
        for each in _images_of(found, finding):
            yield (finding.kind, finding.severity, *each.values())


def show(found: Diagnosis | DetectionDiagnosis) -> None:
    """Print what the images are, what was measured, and a line per finding."""
    for name, text in _facts(found):
        print(f"{name:{11 if isinstance(found, DetectionDiagnosis) else 10}}{printable(text)}")
    print()
    for finding in found.findings:
        print(f"{finding.severity:8}  {printable(_sentence(found, finding))}")
    if not found.findings:
        print("Nothing was found that wants mending.")
    if any(_count(each) > 1 for each in found.findings):
        print("\n`graft doctor --list FILE.csv` writes down every image that is meant.")


def _facts(found: Diagnosis | DetectionDiagnosis) -> Iterator[tuple[str, str]]:
    """Give what is worth knowing of any data set, with a word in front."""
    if isinstance(found, DetectionDiagnosis):
        yield from facts_of_objects(found)
        yield from _spans(found)
        return
    data = found.seen.data
    yield (
        "images",
        f"{len(data.train):,} to learn from, {len(data.val):,} to be scored on, {counted(len(data.classes), 'class')}",
    )
    yield from _spans(found)
    learnt, _ = counts_of(found.seen)
    ends = [(int(learnt[label]), printable(data.classes[label])) for label in (learnt.argmin(), learnt.argmax())]
    (fewest, small), (most, large) = ends
    span = f"from {fewest:,} ({small}) to {most:,} ({large})" if fewest < most else f"{most:,} each"
    yield "classes", f"{span}, counting images to learn from that can be read"
    if found.mean and found.deviation:
        yield "mean", f"{_rgb(found.mean)}   of red, green, blue; ImageNet has {_rgb(IMAGENET_MEAN)}"
        yield "deviation", f"{_rgb(found.deviation)}   ImageNet has {_rgb(IMAGENET_STD)}"
    if found.delivery:
        yield "loader", _delivered(found.delivery)
    yield "memory", _kept(found)


def _spans(found: Diagnosis | DetectionDiagnosis) -> Iterator[tuple[str, str]]:
    """Say how high and how wide the images are."""
    if sizes := _sizes(found):
        for side, name in enumerate(("height", "width")):
            low, usual, high = (sizes[each][side] for each in ("smallest", "median", "largest"))
            yield name, f"{low} to {high} pixels, median {usual}" if low < high else f"{low} pixels"


def _delivered(delivery: Delivery) -> str:
    height, width = delivery.image
    workers = counted(delivery.workers, "worker process") if delivery.workers else "no worker process"
    return (
        f"{delivery.images_per_second:,.0f} images per second at {height} x {width} with "
        f"{workers}, as measured now on this machine"
    )


def _kept(found: Diagnosis) -> str:
    size = (
        f"{found.pixel_bytes / 1e6:,.1f} MB" if found.pixel_bytes < _GIGABYTE else f"{found.pixel_bytes / 1e9:,.1f} GB"
    )
    share = f", {found.pixel_bytes / found.memory:.1%} of this machine's" if found.memory else ""
    return f"{size} for all pixels as uint8{share}"


_GIGABYTE = 10**9


def _rgb(values: Iterable[float]) -> str:
    return " ".join(f"{each:.3f}" for each in values)


def _sentence(found: Diagnosis | DetectionDiagnosis, finding: Finding) -> str:
    """Write a finding, what to do, and one example in one line."""
    text = f"{finding.what}. {finding.remedy}."
    for each in _images_of(found, finding, 1):
        which = "It is" if _count(finding) == 1 else "The first is"
        twin = f", like {each['twin']}" if each["twin"] else ""
        detail = f": {each['detail']}" if each["detail"] else ""
        text += f" {which} {each['file']}{twin}{detail}."
    return text


def check(found: Diagnosis | DetectionDiagnosis) -> int:
    """Give the exit code, 1 where something grave was found, and say so."""
    if found.grave:
        verb = "is" if found.grave == 1 else "are"
        print(
            f"graft: {counted(found.grave, 'finding')} {verb} grave; mend what is meant before training",
            file=sys.stderr,
        )
    return 1 if found.grave else 0
