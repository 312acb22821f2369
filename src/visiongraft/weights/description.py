"""What a weight file says beside its tensors: what they are of, and what their use needs."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visiongraft.errors import WeightsError
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import Blueprint, read_blueprint

FORMAT = "visiongraft.weights/1"
"""Name and version of the file format. It rises when an older file would be misread."""

DETECTORS = "visiongraft.detector-weights/1"
"""The same of files that hold a detector, which `visiongraft.detect` writes and reads."""

DETECTOR = "_visiongraft_detector"
"""The attribute in which a detector keeps the value that describes it."""


def is_version_of(known: str, text: str) -> bool:
    """Tell whether a text names a format, whichever version of it."""
    return text.partition("/")[0] == known.partition("/")[0]


@dataclass(frozen=True)
class Description:
    """What a weight file says beside its tensors. Arguments as in `store.Trained`, with a spec for the network."""

    spec: Blueprint
    preprocessing: Preprocessing
    classes: Sequence[str]
    scores: Mapping[str, float]

    def texts(self) -> dict[str, str]:
        """Give it as the texts of a safetensors file.

        Raises:
            WeightsError: if `read` would not take them.
        """
        fault, remedy = self._fault()
        if fault:
            raise WeightsError(f"{fault}. {remedy}")
        return {
            "format": FORMAT,
            "spec": self.spec.to_json(),
            "preprocessing": json.dumps(self.preprocessing.to_dict()),
            "classes": json.dumps(list(self.classes)),  # in ASCII: the name of a folder may be no UTF-8
            "scores": json.dumps(dict(self.scores)),
        }

    @classmethod
    def read(cls, texts: Mapping[str, str]) -> "Description":
        """Read what `texts` gave.

        Raises:
            GraftError: if it cannot be; what is told may be long, and does not say where.
            RuntimeError, TypeError, LookupError, ArithmeticError, AttributeError: likewise, from the spec's own words.
        """
        spec = read_blueprint(value_of(texts, "spec", dict))
        preprocessing = Preprocessing.from_dict(value_of(texts, "preprocessing", dict))
        found = cls(spec, preprocessing, tuple(value_of(texts, "classes", list)), value_of(texts, "scores", dict))
        if fault := found._fault()[0]:
            raise WeightsError(fault)
        return found

    def _fault(self) -> tuple[str, str]:
        """Say what is wrong, and what to do for whoever gave it; empty where nothing is."""
        if not isinstance(self.preprocessing, Preprocessing):
            fault = f"The preprocessing is a visiongraft.Preprocessing, not a {type(self.preprocessing).__name__}"
            return fault, "Make one, as in Preprocessing(image=(224, 224))."
        if fault := fault_of_classes(self.classes, self.spec.num_classes):
            return fault, "Name each class, or none."
        return fault_of_scores(self.scores), "Give float(SCORE), or none."


def in_short(text: str) -> str:
    """Cut a text from a file that may be as long as it likes."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_LONGEST = 300


def fault_of_scores(scores: Mapping[str, float]) -> str:
    """Say why scores can be in no file; empty where they can."""
    for name, score in scores.items():
        if not isinstance(name, str) or not isinstance(score, int | float) or not math.isfinite(score):
            return f"Scores are finite numbers by name, and {name!r} has {score!r}"
    return ""


def fault_of_classes(classes: Sequence[str], count: int, *, of: str = "logits") -> str:
    """Say why names cannot be those of so many classes; empty where they can.

    Args:
        classes: the names, which may be none.
        count: how many classes there are.
        of: what there is one of for each class.
    """
    if isinstance(classes, str):
        return f"Class names come as a list, and {classes!r} is one text"
    if odd := [each for each in classes if not isinstance(each, str)]:
        return f"Class names are texts, and {odd[0]!r} is of type {type(odd[0]).__name__}"
    if classes and len(classes) != count:
        return f"{len(classes)} class names came for {count} {of}"
    ((most, times),) = Counter(classes).most_common(1) or [("", 0)]
    return f"Two classes have the name {most!r}" if times > 1 else ""


def value_of(texts: Mapping[str, str], key: str, kind: type) -> Any:  # noqa: ANN401 - whatever a document holds
    """Read one of the texts of a file.

    Args:
        texts: all of them.
        key: its name.
        kind: what it holds, as JSON.

    Raises:
        WeightsError: if it is not there, or holds something else.
    """
    if key not in texts:
        raise WeightsError(f"it has no {key!r}")
    try:
        value = json.loads(texts[key])
    except ValueError:
        raise WeightsError(f"its {key!r} is no JSON, but {in_short(texts[key])!r}") from None
    except RecursionError:
        raise WeightsError(f"its {key!r} is nested too deeply") from None
    if not isinstance(value, kind):
        raise WeightsError(f"its {key!r} is a {type(value).__name__} where a {kind.__name__} belongs")
    return value
