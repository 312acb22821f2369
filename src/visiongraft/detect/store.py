"""Weight files of detectors: safetensors with the value, its categories and its scores beside the weights.

A file is all that is needed to use a detector again. Nothing in it is ever executed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from visiongraft.detect.build import build_detector, spec_of
from visiongraft.detect.value import Detector
from visiongraft.errors import WeightsError
from visiongraft.surgery.network import build_empty
from visiongraft.weights.description import (
    DETECTOR,
    DETECTORS,
    FORMAT,
    fault_of_classes,
    fault_of_scores,
    in_short,
    is_version_of,
    value_of,
)
from visiongraft.weights.paths import path_of
from visiongraft.weights.tensor_file import check_tensors, describing, fault_of, read_tensors, write_tensors


@dataclass(frozen=True)
class TrainedDetector:
    """A detector with what is needed to use it.

    Args:
        network: the detector itself, of torchvision's class.
        classes: the name of each category, that of label 1 first; empty where nobody said.
        scores: what was measured with these weights, such as {"val_mask_ap": 0.4}; shares are in [0, 1].
    """

    network: nn.Module
    classes: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def spec(self) -> Detector:
        """The value that describes the detector."""
        return spec_of(self.network)


def save(
    detector: nn.Module,
    path: str | Path,
    *,
    classes: Sequence[str] = (),
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a detector into one file, whole or not at all.

    Args:
        detector: one that `create_detector`, `build_detector` or `load` gave, or a wrapper for several devices around
            one.
        path: where; by convention it ends in .safetensors.
        classes: the name of each category, that of label 1 first, or none.
        scores: what was measured with these weights.

    Raises:
        WeightsError: if `load` would not read it: it is no such detector, or differs from its value, its weights are
            not finite, or the names or scores are none; and if the file cannot be written.
    """
    inside: object = detector
    while isinstance(inside, nn.Module) and not hasattr(inside, DETECTOR):
        inside = getattr(inside, "module", None)
    if not isinstance(inside, nn.Module):
        raise WeightsError(
            f"What is saved is a detector, and this is a {type(detector).__name__}. Give one that visiongraft.detect"
            " made; visiongraft.save takes networks that tell classes apart."
        )
    return save_tensors(spec_of(inside), inside.state_dict(), path, classes=classes, scores=scores)


def save_tensors(
    spec: Detector,
    tensors: Mapping[str, Tensor],
    path: str | Path,
    *,
    classes: Sequence[str] = (),
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a detector's tensors without the detector.

    Args:
        spec: what the tensors are of.
        tensors: the whole state dict of that detector.
        path: as in `save`.
        classes: as in `save`.
        scores: as in `save`.

    Raises:
        WeightsError: as in `save`.
    """
    path = path_of(path)
    scores = scores or {}
    if fault := _fault(spec, classes, scores):
        raise WeightsError(f"{fault}. Name each category, or none, and give scores as float(SCORE).")
    if fault := fault_of(_outline(spec), tensors):
        raise WeightsError(
            f"This {spec.name} cannot be saved, since not all of it follows from its value: {fault}. Choose by the"
            " arguments of create_detector what you changed in its modules; else torch.save takes its state_dict()."
        )
    texts = {
        "format": DETECTORS,
        "detector": spec.to_json(),
        "classes": json.dumps(list(classes)),
        "scores": json.dumps(dict(scores)),
    }
    write_tensors(path, tensors, texts)
    return path


def _fault(spec: Detector, classes: Sequence[str], scores: Mapping[str, float]) -> str:
    return fault_of_classes(classes, spec.num_classes, of="categories") or fault_of_scores(scores)


def _outline(spec: Detector) -> dict[str, Tensor]:
    """Give the state dict of a detector without its numbers."""
    with torch.device("meta"):
        return build_detector(spec, network=build_empty(spec.backbone)).state_dict()


def load(path: str | Path) -> nn.Module:
    """Read a detector, of torchvision's class, in eval mode.

    Args:
        path: a file that `save` wrote.

    Raises:
        WeightsError: if the file is missing, damaged, or of another format, or its weights are not finite.
    """
    return read(path).network


def read(path: str | Path) -> TrainedDetector:
    """Read a detector with its categories and scores. Arguments and errors as in `load`."""
    path = path_of(path)
    texts, tensors = read_tensors(path)
    _check_format(texts.get("format", ""), path)
    with describing(path):
        spec = Detector.from_dict(value_of(texts, "detector", dict))
        classes, scores = tuple(value_of(texts, "classes", list)), value_of(texts, "scores", dict)
        if fault := _fault(spec, classes, scores):
            raise WeightsError(fault)
        wanted = _outline(spec)
    check_tensors(wanted, tensors, path)
    detector = build_detector(spec)
    detector.load_state_dict(tensors)
    return TrainedDetector(detector.eval(), classes, scores)


def _check_format(found: str, path: Path) -> None:
    if found == DETECTORS:
        return
    if is_version_of(DETECTORS, found):
        raise WeightsError(
            f"{path} is of format {in_short(found)!r}; this version reads {DETECTORS!r}. Read it with the version of"
            " visiongraft that wrote it."
        )
    if is_version_of(FORMAT, found):
        raise WeightsError(
            f"{path} holds a network that tells classes apart, and no detector. visiongraft.load reads it, and"
            " create_detector(KIND, weights=FILE) begins one with it."
        )
    raise WeightsError(f"{path} describes no detector, so it is of others. visiongraft.detect.save writes such files.")
