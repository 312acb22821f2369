"""`graft detect eval`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from visiongraft.cli.arguments import Spread
from visiongraft.cli.detecting import find_detector, in_numbers, lines_of, mended, parse_fix
from visiongraft.cli.grafting import run_plugin
from visiongraft.cli.groups import Machine
from visiongraft.cli.progress import counting
from visiongraft.detect.coco_tools import check_installed
from visiongraft.detect.judging import DetectionEvaluation, judge
from visiongraft.detect.opening import open_detection
from visiongraft.errors import DataError, counted, printable
from visiongraft.train.devices import workers_for


def run(
    weights: Path,
    *,
    data: str,
    fix: str | None = None,
    machine: Annotated[Machine, Spread(without=("devices",))],
    plugin: Path | None = None,
) -> DetectionEvaluation:
    """Score a trained detector on images with boxes or masks: the validation part of a data set.

    Scores are COCO's: average precision over overlaps from 0.5 to 0.95, for images of their own size.

    Examples:
        graft detect eval runs/mask_rcnn_botnet_pico-nuclei --data nuclei/
        graft detect eval best.safetensors --data cells/ --json

    Args:
        weights: a .safetensors file of `graft detect train`, or its run folder
        data: a folder of images with annotations, of categories of the training, by their names
        fix: what to do about faulty annotations, which are refused otherwise: drop what has faults, clip boxes at the
            edges of their image, or drop,clip; the files stay as they are
        machine: what computes
        workers: processes that read images; auto for one per spare core
        plugin: a file of Python with mixers of your own that the backbone has; it is run
    """
    run_plugin(plugin)
    place, mending = machine.place(), parse_fix(fix)
    model = find_detector(weights)
    check_installed("segm" if model.spec.kind == "mask_rcnn" else "bbox")
    images = open_detection(data, parts="val", fix=mending, categories=model.classes)
    if len(images.categories) != model.spec.num_classes:  # of a file that does not name them
        raise DataError(
            f"{weights} finds {counted(model.spec.num_classes, 'category')}, and {data!r} has"
            f" {_listed(images.categories)}. Use data with the categories of the training."
        )
    with counting(len(images.val), "scored") as advance:
        found = judge(
            model.network.to(place),
            images.val,
            categories=len(images.categories),
            workers=workers_for(machine.workers, in_memory=False),
            on_image=advance,
        )
    for note in [*images.notes, *mended(images.faults)]:
        print(printable(note), file=sys.stderr)
    return found


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_SHOWN])} ({counted(len(names), 'category')})"


_SHOWN = 5


def as_json(found: DetectionEvaluation) -> dict[str, object]:
    """Give the scores."""
    return {
        **in_numbers(found.scores),
        "images": found.scores.images,
        "images_per_second": found.scores.images / found.seconds,
        "unreadable": [{"file": each.name, "error": each.reason} for each in found.failures],
    }


def show(found: DetectionEvaluation) -> None:
    """Print the scores."""
    for line in lines_of(found.scores):
        print(line)
    print(f"{counted(found.scores.images, 'image')}, {found.scores.images / found.seconds:.1f} per second")
    for each in found.failures:
        print(f"not read: {printable(each.name)}: {each.reason}")
