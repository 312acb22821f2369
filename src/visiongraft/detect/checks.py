"""What a detector is shown, checked before it computes: each fault in one line that names the image."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from visiongraft.detect.value import Detector
from visiongraft.errors import DataError, ImageSizeError

Target = Mapping[str, Any]
"""What is to be found in an image: "boxes" (n, 4) as x0 y0 x1 y1 in pixels, "labels" (n) from 1, perhaps "masks"
(n, h, w), perhaps a "name" for errors."""


def watch_what_is_shown(detector: nn.Module, spec: Detector) -> None:
    """Let a detector refuse images and targets that it cannot learn from, and drop what is found of no category."""
    detector.register_forward_pre_hook(partial(_check, spec), with_kwargs=True)
    if spec.kind in ("retinanet", "fcos"):
        detector.register_forward_hook(_without_background)


def _check(spec: Detector, detector: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    both = dict(zip(("images", "targets"), given, strict=False)) | dict(named)
    images, targets = both.get("images", ()), both.get("targets")
    if detector.training and targets is None:
        raise DataError("While it trains, a detector takes images and targets. Call eval() to find objects.")
    if targets is not None and len(targets) != len(images):
        raise DataError(f"{len(images)} images came with {len(targets)} targets. Give one for each.")
    for place, image in enumerate(images):
        target = None if targets is None else targets[place]
        name = f"Image {place} of the batch" if target is None or "name" not in target else str(target["name"])
        _check_image(spec, image, name)
        if target is not None:
            _check_target(spec, target, image, name)


def _check_image(spec: Detector, image: Tensor, name: str) -> None:
    if fault := fault_of_image(spec, image):
        raise ImageSizeError(f"{name} {fault}.")


def fault_of_image(spec: Detector, image: Tensor) -> str:
    """Say why a detector cannot look at an image, as the rest of a sentence; empty where it can."""
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        return (
            f"is {image.dtype} of shape {tuple(image.shape)}, and a detector takes floating-point images of shape"
            " (3, height, width), from 0 to 1"
        )
    height, width = int(image.shape[1]), int(image.shape[2])
    short, long = sorted((height, width))
    scale = 0.0 if short == 0 else min(min(spec.min_size) / short, spec.max_size / long)
    if int(short * scale) < 1:
        return (
            f"has {height}x{width} pixels, and nothing would be left of its shorter side where the longer one has at"
            f" most {spec.max_size}. Cut it"
        )
    return ""


def _check_target(spec: Detector, target: Target, image: Tensor, name: str) -> None:
    missing = {"boxes", "labels", *(("masks",) if spec.kind == "mask_rcnn" else ())} - target.keys()
    if missing:
        raise DataError(f"The target of {name} has no {sorted(missing)[0]!r}, which a {spec.kind} learns from.")
    boxes, labels = target["boxes"], target["labels"]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
        raise DataError(
            f"The boxes of {name} are {boxes.dtype} of shape {tuple(boxes.shape)}. Expected fractions of shape (n, 4):"
            " x0 y0 x1 y1 in pixels. For an image without objects, n is 0."
        )
    if labels.dtype != torch.int64 or tuple(labels.shape) != (len(boxes),):
        raise DataError(
            f"The labels of {name} are {labels.dtype} of shape {tuple(labels.shape)}. Expected int64 of shape"
            f" ({len(boxes)},), one for each box."
        )
    _check_values(spec, boxes, labels, name)
    if spec.kind == "mask_rcnn":
        wanted = (len(boxes), *image.shape[1:])
        if tuple(target["masks"].shape) != wanted:
            raise DataError(f"The masks of {name} have shape {tuple(target['masks'].shape)}. Expected {wanted}.")


def _check_values(spec: Detector, boxes: Tensor, labels: Tensor, name: str) -> None:
    fine = (boxes[:, 2:] > boxes[:, :2]).all(1) & boxes.isfinite().all(1)
    known = (labels >= 1) & (labels <= spec.num_classes)
    if bool((fine & known).all()):
        return
    if not bool(fine.all()):
        place = _first(~fine)
        found = ", ".join(f"{each:g}" for each in boxes[place].tolist())
        raise DataError(
            f"Box {place} of {name} is [{found}] as x0 y0 x1 y1: it has no area. Boxes have x0 < x1 and y0 < y1;"
            " `graft doctor` finds those of a data set that have not."
        )
    place = _first(~known)
    raise DataError(
        f"Box {place} of {name} has the label {int(labels[place])}. Labels are 1 to {spec.num_classes}, since"
        " num_classes counts the categories without the background, which is 0."
    )


def _first(odd: Tensor) -> int:
    return int(odd.nonzero()[0])


def _without_background(detector: nn.Module, given: object, gave: Any) -> Any:  # noqa: ANN401 - losses or findings
    """Leave out what a detector found of label 0: torchvision's one-stage detectors have a logit for it as well."""
    del given
    if detector.training:
        return gave
    findings: Sequence[dict[str, Tensor]] = gave
    return [{key: each[found["labels"] > 0] for key, each in found.items()} for found in findings]
