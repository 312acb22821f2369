"""`graft detect train`."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import torch

from visiongraft.cli.arguments import Spread, flat, usual
from visiongraft.cli.beginning import options_written
from visiongraft.cli.detecting import (
    in_numbers,
    lines_of,
    mended,
    parse_factors,
    parse_fix,
    parse_sizes,
    score_in_words,
)
from visiongraft.cli.ended import check as check
from visiongraft.cli.ended import ended_as_json, show_ended
from visiongraft.cli.grafting import blueprint_named, grafted
from visiongraft.cli.groups import Grafts, Machine, Source, Upkeep
from visiongraft.cli.narrator import Narrator
from visiongraft.cli.runs import RUNS, folder_of, known_run, saying_where_it_began, short_name
from visiongraft.cli.values import best_of, check_writable
from visiongraft.detect.build import build_detector, spec_of
from visiongraft.detect.coco_tools import check_installed
from visiongraft.detect.course import DetectionCourse
from visiongraft.detect.models import create_detector
from visiongraft.detect.opening import open_detection
from visiongraft.detect.recipes import AUTO, DEFAULT, get_recipe
from visiongraft.detect.training import Detecting, DetectionOutcome
from visiongraft.detect.value import Detector, Heads, Kind, Norm
from visiongraft.errors import RunError
from visiongraft.explain.detection import write_detection_report
from visiongraft.explain.usage import flag
from visiongraft.train.crew import leads
from visiongraft.train.devices import Hardware, keep_freed_memory, workers_for
from visiongraft.train.engine import train
from visiongraft.train.run import RunFolder
from visiongraft.train.state import belongings
from visiongraft.weights.libraries import source_and_tag

VERB = "graft detect train"


def defaults(recipe: str) -> dict[str, object]:
    """Give what the options of `run` are where nobody gives them, under a recipe.

    Raises:
        GraftError: if there is no such recipe.
    """
    return get_recipe(recipe).options


def run(
    *,
    data: str,
    recipe: str = DEFAULT,
    kind: Kind | None = None,
    backbone: str | None = None,
    grafts: Annotated[Grafts, Spread()],
    source: Annotated[Source, Spread()],
    fix: str | None = None,
    output: Path | None = None,
    min_size: str = "256",
    max_size: int = 512,
    norm: Norm | None = None,
    heads: Heads = "plain",
    width: int = 64,
    regions: int = 128,
    anchors: str = AUTO,
    ratios: str = "0.5,1,2",
    proposals: int = 2000,
    how: Annotated[DetectionCourse, Spread(without=("layer_decay",))],
    machine: Annotated[Machine, Spread()],
    upkeep: Annotated[Upkeep, Spread()],
) -> DetectionOutcome:
    """Train a detector on images with boxes, and with masks where there are any.

    Annotations are COCO's json, YOLO's text files or Pascal VOC's xml; which of them lies in the folder is found out.
    With --recipe NAME, the other options' defaults are that recipe's.

    Examples:
        graft detect train --data nuclei/
        graft detect train --data nuclei/ --kind mask_rcnn --backbone botnet50 --min-size 512 --max-size 512
        graft detect train --data cells/ --kind faster_rcnn --weights runs/coatnet_pico-photos --norm frozen
        graft detect train --data cells/ --backbone torchvision:resnet50 --pretrained
        graft detect train --data coco/ --recipe cotnet_1x --weights runs/cotnet50-imagenet
        graft detect train --resume runs/mask_rcnn_botnet_pico-nuclei

    Args:
        data: a folder of images with annotations
        recipe: small, nuclei_cpu or bccd_cpu, for few images and random weights, or the set-up of a paper; options
            that are given beside it win
        kind: of the detector; by default mask_rcnn where all objects have masks, else faster_rcnn
        backbone: a name of `graft list`, or a library's, as torchvision:resnet50; by default the recipe's, or what
            --weights is of
        grafts: what is grafted into it
        source: of the weights that it begins with
        pretrained: begin with a backbone that others trained, which is fetched once and kept
        weights: begin with the backbone of a file or a run folder of `graft train`
        fix: what to do about faulty annotations, which are refused otherwise: drop what has faults, clip boxes at the
            edges of their image, or drop,clip; the files stay as they are
        output: folder for everything that the run writes; by default a new one in runs/
        min_size: pixels of the shorter side that images are resized to; of several, as 480,512,544, training draws
            one for each image, and the last one is taken otherwise
        max_size: pixels that the longer side is at most
        norm: what the backbone's batch normalisations do: frozen keeps what trained weights say, and is the default
            with these; sync learns from what all devices see, and is the default otherwise; train learns on each
            device from what it sees itself
        heads: plain as in the papers of 2017, or normalised by groups, with a deeper head for boxes
        width: channels of pyramid and heads
        regions: of an image, from which the heads of detectors in two stages learn
        anchors: their sides as multiples of the stride of each level, as 2.5,4 for small objects; auto for 8, and for
            retinanet 4 and two larger ones
        ratios: heights of anchors over their widths
        proposals: that detectors in two stages look for, on each level and in an image, while they learn; half as many
            later
        how: under the recipe's name, and with its defaults, each field of it
        machine: what computes
        workers: processes that read images; auto for one per spare core
        upkeep: how the run goes on in spite of what may happen
    """
    options = flat(run, locals())
    # All that can be refused without reading the data is, since many annotations take a while to read.
    place = machine.place()
    hardware = Hardware(place, machine.devices, workers=workers_for(machine.workers, in_memory=False))
    hardware.crew()
    grown, sizes, mending = grafts.parsed(), parse_sizes(min_size), parse_fix(fix)
    sides, shapes = () if anchors == AUTO else parse_factors(anchors, "--anchors"), parse_factors(ratios, "--ratios")
    named = get_recipe(recipe)
    backbone = options["backbone"] = backbone if source.weights else backbone or named.backbone
    check_writable(upkeep.resume or output or RUNS, "--output", kind="folder")
    known = known_run(output, upkeep.resume, verb=VERB)
    with saying_where_it_began(data, upkeep.resume):
        images = open_detection(data, fix=mending)
    kind = options["kind"] = kind or named.kind or ("mask_rcnn" if images.has_masks else "faster_rcnn")
    check_installed("segm" if kind == "mask_rcnn" else "bbox")
    torch.manual_seed(how.seed)
    former = belongings(known) if known else None
    if known and former:
        _check_unchanged(known, options)
    if former is not None:  # trained weights are not read again: the state takes their place, and they may be gone
        detector = build_detector(Detector.from_dict(former["spec"]))
    else:
        base, tag = source_and_tag(backbone) if source.pretrained and backbone else (backbone, "")
        detector = create_detector(
            kind,
            backbone=grafted(blueprint_named(base), grown) if base and grown else base,
            num_classes=len(images.categories),
            min_size=sizes,
            max_size=max_size,
            norm=norm or named.norm or ("frozen" if source else "sync"),
            heads=heads,
            width=width,
            regions=regions,
            anchors=sides,
            ratios=shapes,
            proposals=proposals,
            pretrained=tag or source.pretrained,
            weights=best_of(source.weights) if source.weights else None,
            weights_dir=source.weights_dir,
            offline=source.offline,
        )
    folder = folder_of(known, output, f"{spec_of(detector).name}-{short_name(data)}", verb=VERB)
    keep_freed_memory()
    notes = [*images.notes, *mended(images.faults)]
    with Narrator(notes, score=score_in_words) if leads() else nullcontext() as narrator:
        outcome = train(
            Detecting(detector, images, how),
            folder,
            hardware=hardware,
            options=options,
            max_unreadable=upkeep.max_unreadable,
            save_minutes=upkeep.save_minutes,
            resume=upkeep.way,
            listener=narrator,
        )
    if not leads():
        raise SystemExit(0)  # the first process reports
    when_nobody_says = usual(run) | defaults(recipe)
    write_detection_report(outcome, images, options=options, defaults=when_nobody_says, device=place)
    return outcome


OF_THE_DETECTOR = (
    *("kind", "backbone", "graft", "graft_lose", "pretrained", "weights"),
    *("min_size", "max_size", "norm", "heads", "width", "regions", "anchors", "ratios", "proposals"),
)
"""The options from which a detector follows, which is made of the state where a run goes on."""


def _check_unchanged(run: RunFolder, options: Mapping[str, object]) -> None:
    """Refuse to go on with a run by other options of its detector, which would count for nothing.

    Raises:
        RunError: if one is another; it names them.
    """
    before = options_written(run, OF_THE_DETECTOR) or {}
    now = {name: str(each) if isinstance(each := options[name], Path) else each for name in before}
    if changed := [name for name in before if before[name] != now[name]]:
        told = "; ".join(f"its {flag(name)} is {before[name]}, not {now[name]}" for name in changed)
        raise RunError(
            f"The run in {run.path} cannot go on: {told}. Put that back, or begin a new run with another --output."
        )


def as_json(outcome: DetectionOutcome) -> dict[str, object]:
    """Give the scores and where everything lies."""
    scores = in_numbers(outcome.evaluation.scores)
    return {**{f"val_{name}": value for name, value in scores.items()}, **ended_as_json(outcome)}


def show(outcome: DetectionOutcome) -> None:
    """Print the scores and where everything lies."""
    show_ended(outcome, ", ".join(lines_of(outcome.evaluation.scores)))
