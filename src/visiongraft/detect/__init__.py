"""Detection: images with boxes and masks, and networks that find them.

What is named here is for users, and is imported where it is asked for: torchvision's detectors take their time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visiongraft.detect.annotations import DetectionData, DetectionSet
    from visiongraft.detect.build import build_detector, spec_of
    from visiongraft.detect.models import create_detector, share_kept
    from visiongraft.detect.opening import open_detection
    from visiongraft.detect.samples import DetectionSamples
    from visiongraft.detect.scores import Prediction, score
    from visiongraft.detect.store import TrainedDetector, load, read, save
    from visiongraft.detect.value import Detector

__all__ = [
    "DetectionData",
    "DetectionSamples",
    "DetectionSet",
    "Detector",
    "Prediction",
    "TrainedDetector",
    "build_detector",
    "create_detector",
    "load",
    "open_detection",
    "read",
    "save",
    "score",
    "share_kept",
    "spec_of",
]

_PLACES = {
    "DetectionData": "annotations",
    "DetectionSamples": "samples",
    "DetectionSet": "annotations",
    "Detector": "value",
    "Prediction": "scores",
    "TrainedDetector": "store",
    "build_detector": "build",
    "create_detector": "models",
    "load": "store",
    "open_detection": "opening",
    "read": "store",
    "save": "store",
    "score": "scores",
    "share_kept": "models",
    "spec_of": "build",
}


def __getattr__(name: str) -> object:
    """Import a public name."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
