"""Detectors by name, whose backbones begin with fresh weights or with those of a classifier."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from visiongraft.detect.build import build_detector, spec_of
from visiongraft.detect.value import Detector, Heads, Kind, Norm
from visiongraft.errors import SpecError, WeightsError
from visiongraft.families.zoo import get_spec
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Blueprint, Foreign, Grafted
from visiongraft.surgery.network import AnyNetwork, body_of
from visiongraft.weights.adapt import adapted_to
from visiongraft.weights.libraries import read_weights_of_others
from visiongraft.weights.models import load_pretrained, read_weights
from visiongraft.weights.store import Trained


def create_detector(  # noqa: PLR0913 - the choices of a detector, one by one
    kind: Kind | Detector,
    *,
    backbone: str | Blueprint | None = None,
    num_classes: int | None = None,
    min_size: int | tuple[int, ...] | None = None,
    max_size: int | None = None,
    norm: Norm | None = None,
    heads: Heads | None = None,
    width: int | None = None,
    regions: int | None = None,
    anchors: tuple[float, ...] | None = None,
    ratios: tuple[float, ...] | None = None,
    proposals: int | None = None,
    image: int | Grid | None = None,
    pretrained: bool | str = False,
    weights: str | Path | None = None,
    weights_dir: str | Path | None = None,
    offline: bool = False,
) -> nn.Module:
    """Build a detector of torchvision on one of our backbones, in training mode.

    Args:
        kind: "mask_rcnn", "faster_rcnn", "retinanet" or "fcos"; or a `Detector`, of which what is given beside it is
            changed.
        backbone: a name of the zoo, "torchvision:resnet50", or a `Backbone`, `Foreign` or `Grafted`. May be left out
            where `weights` is a file of ours, which says what it holds.
        num_classes: how many categories of objects there are. **The background is not counted**, as it is by
            torchvision: with 80 categories, say 80 here, where torchvision is told 81. Labels are 1 to `num_classes`.
        min_size: pixels of the shorter side that images are resized to, 800 by default; of several, training draws
            one for each image, and the last one is taken otherwise.
        max_size: pixels that the longer side is at most, 1333 by default.
        norm: what the backbone's batch normalisations do: "frozen" keeps what trained weights say, and is the default
            with such; "train" and "sync" learn, each process by itself or all together.
        heads: "plain", or "normalised" by groups, with a deeper box head.
        width: channels of pyramid and heads, 256 by default.
        regions: of an image, from which the heads of detectors in two stages learn, 512 by default.
        anchors: sides of anchors as multiples of the stride of their level, (8.0,) by default, for retinanet 4 and two
            larger ones. For small objects, take smaller ones.
        ratios: heights of anchors over their widths, (0.5, 1.0, 2.0) by default.
        proposals: that detectors in two stages look for at most while they learn, 2000 by default; half as many later.
        image: native size in pixels of the backbone's position tables; by default a square of the shorter side. Any
            other size works as well.
        pretrained: begin with published weights of the backbone, True or their tag, as `visiongraft.create_model`.
        weights: begin with the backbone in a weight file, as `visiongraft.read_weights` takes it.
        weights_dir: where published weights are kept.
        offline: fetch nothing.

    Returns:
        A `MaskRCNN`, `FasterRCNN`, `RetinaNet` or `FCOS`, which takes images (3, h, w) from 0 to 1 in a list, of any
        sizes: see `build_detector`. They are normalised as the backbone's weights want it.

    Raises:
        SpecError: if the parts do not fit together.
        UnknownModel: if no network, or no weights, have that name.
        WeightsError: if weights cannot be fetched or read, or do not fit.
    """
    given = backbone if backbone is not None or not isinstance(kind, Detector) else kind.backbone
    start = _start(given, pretrained, weights, weights_dir=weights_dir, offline=offline)
    spec = _blueprint(given, start)
    sizes = (min_size,) if isinstance(min_size, int) else min_size
    choices: dict[str, Any] = {
        "num_classes": num_classes,
        "min_size": sizes,
        "max_size": max_size,
        "norm": norm,
        "heads": heads,
        "width": width,
        "regions": regions,
        "anchors": anchors,
        "ratios": ratios,
        "proposals": proposals,
    }
    value = _value(kind, spec, {name: each for name, each in choices.items() if each is not None}, start)
    if image is not None or given is backbone:
        shown = min(value.min_size[-1], value.max_size) if image is None else image
        value = replace(value, backbone=spec.at(shown))
    if start is None and value.norm == "frozen":
        raise SpecError(
            "norm='frozen' keeps what trained weights say, and these are random, with branches that are silent until"
            " they learn. Give pretrained or weights, or norm='train'."
        )
    if start is None:
        return build_detector(value)
    detector = build_detector(value, network=adapted_to(start.network, value.backbone))
    _check_kept(detector, start.network)
    return detector


KEPT = "_visiongraft_kept"
"""The attribute in which a detector tells, in a sentence, how much of trained weights it begins with."""


def _check_kept(detector: nn.Module, source: AnyNetwork) -> None:
    """Note how much of trained weights a detector begins with.

    Raises:
        WeightsError: if it is nothing, and a training would be blind to them.
    """
    share = share_kept(detector, source)
    if not share:
        raise WeightsError(f"Nothing of the weights of {source.spec.name} is left in {spec_of(detector).name}.")
    setattr(detector, KEPT, f"{share:.1%} of the weights of {source.spec.name} are kept.")


def _value(kind: Kind | Detector, spec: Blueprint, choices: dict[str, Any], start: Trained | None) -> Detector:
    """Make the value, whose backbone is not yet of the size that is wanted."""
    if start:
        choices = {"mean": start.preprocessing.mean, "std": start.preprocessing.std, **choices}
    if isinstance(kind, Detector):
        return replace(kind, backbone=spec, **choices)
    if "num_classes" not in choices:
        raise SpecError("How many categories of objects are there? Give num_classes, without the background.")
    return Detector(kind, spec, **{"norm": "frozen" if start else "train", **choices})


def _start(
    backbone: str | Blueprint | None,
    pretrained: bool | str,  # noqa: FBT001 - create_model's own argument, which timm has taught everyone
    weights: str | Path | None,
    *,
    weights_dir: str | Path | None,
    offline: bool,
) -> Trained | None:
    """Give the network whose weights a backbone begins with; None for fresh ones."""
    if pretrained and weights is not None:
        raise SpecError("pretrained and weights are two places to take weights from. Give one of them.")
    base = backbone.base if isinstance(backbone, Grafted) else backbone
    if isinstance(base, str) and ":" in base:
        base = Foreign(base)
    if weights is not None:
        if isinstance(base, Foreign):
            return read_weights_of_others(weights, base)
        return read_weights(weights, model=None if isinstance(backbone, Grafted) else base)
    if base is None:
        raise SpecError("Which backbone? Name one, or give weights=FILE with one that visiongraft.save wrote.")
    if not pretrained:
        return None
    name = base if isinstance(base, str) else base.name if isinstance(base, Backbone) else base.source
    tagged = name if pretrained is True else f"{name.partition('.')[0]}.{pretrained}"
    return load_pretrained(tagged, weights_dir=weights_dir, offline=offline)


def _blueprint(backbone: str | Blueprint | None, start: Trained | None) -> Blueprint:
    if start is not None and (backbone is None or isinstance(backbone, str)):
        return start.network.spec
    assert backbone is not None, "what _start refuses"
    if not isinstance(backbone, str):
        return backbone
    return Foreign(backbone) if ":" in backbone else get_spec(backbone)


def share_kept(detector: nn.Module, source: AnyNetwork) -> float:
    """Tell how much of a network's learnt numbers the backbone of a detector has, name by name and to the bit.

    Its classifier is left out of every detector, so the share is below 1. Position tables are compared as they are
    for the detector's own native size.

    Args:
        detector: one that was built of a value.
        source: the network that it began with.

    Returns:
        A share in [0, 1] of the numbers of `source`.
    """
    spec = spec_of(detector).backbone
    theirs = dict(body_of(source if source.spec.image == spec.image else source.at(spec.image)).named_parameters())
    ours = detector.state_dict()
    kept = 0
    for name, each in theirs.items():
        found = ours.get(f"backbone.body.{name.removeprefix('head.') if isinstance(source, Network) else name}")
        kept += each.numel() if found is not None and torch.equal(found, each) else 0
    return kept / sum(each.numel() for each in theirs.values())
