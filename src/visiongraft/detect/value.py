"""A detector as a value: which one, on which backbone, for how many categories, and its form as a document."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from visiongraft.errors import SpecError, nearest
from visiongraft.preprocessing import IMAGENET_MEAN, IMAGENET_STD, RGB
from visiongraft.spec import LARGEST_IMAGE
from visiongraft.surgery.foreign import OWN, Blueprint, Foreign, Grafted
from visiongraft.vocabulary import decode_choices, encode_choices, read_document

FORMAT = "visiongraft.detector/1"
"""Name and version of the JSON form. It rises when an older document would be misread."""

Kind = Literal["mask_rcnn", "faster_rcnn", "retinanet", "fcos"]
"""The detectors that there are, by the names that torchvision's users know."""

Norm = Literal["frozen", "sync", "train"]
"""What the backbone's batch normalisations do while training."""

Heads = Literal["plain", "normalised"]
"""How pyramid and heads are made."""


@dataclass(frozen=True)
class Detector:
    """A detector, as data.

    Args:
        kind: "mask_rcnn", "faster_rcnn", "retinanet" or "fcos".
        backbone: the network whose maps it looks at. Its classifier is not used.
        num_classes: how many categories of objects there are, without the background, which torchvision counts as
            well. Their labels are 1 to `num_classes`, in targets and in what is found.
        min_size: pixels of an image's shorter side; of several, training draws one for each image, and the last one is
            taken otherwise.
        max_size: pixels that the longer side is at most; where it binds, the shorter one is less than `min_size`.
        norm: batch normalisations of the backbone: "frozen" are those of trained weights, statistics and all; "train"
            learn, each process by what it sees itself; "sync" learn by what all processes see together.
        heads: "plain" as in the papers of 2017, without normalisations; "normalised" has group normalisations in
            pyramid and heads, a box head of four convolutions and one layer, and a proposal head of two.
        width: channels of pyramid and heads. The box head's hidden layer has four times as many.
        detections: most objects that are found in an image.
        regions: of an image, from which the heads of detectors in two stages learn.
        anchors: their sides, as multiples of the stride of each level; none for the kind's own, which are 8, or 4 and
            two larger ones within an octave for retinanet. fcos has points in their place.
        ratios: heights of anchors over their widths.
        proposals: that detectors in two stages look for, at most, on each level and in an image, while they learn;
            half as many otherwise.
        mean: of the pixels from 0 to 1, subtracted.
        std: of these pixels, divided by.
    """

    kind: Kind
    backbone: Blueprint
    num_classes: int
    min_size: tuple[int, ...] = (800,)
    max_size: int = 1333
    norm: Norm = "train"
    heads: Heads = "plain"
    width: int = 256
    detections: int = 100
    regions: int = 512
    anchors: tuple[float, ...] = ()
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    proposals: int = 2000
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SpecError: if one cannot be.
        """
        for name, words in (("kind", Kind), ("norm", Norm), ("heads", Heads)):
            _check_word(name, getattr(self, name), get_args(words))
        self._check_numbers()
        self._check_anchors()
        if self.backbone.in_chans != _RGB:
            raise SpecError(
                f"A detector looks at 3 channels, and {self.backbone.name} takes {self.backbone.in_chans}."
            )
        base = self.backbone.base if isinstance(self.backbone, Grafted) else self.backbone
        if isinstance(base, Foreign) and base.source.startswith(f"{OWN}:"):
            raise SpecError(
                f"{base.source!r} is a network that only you can build, and a detector is built of its value alone."
                " Name one of the zoo, of torchvision or of timm."
            )
        in_groups = self.kind == "fcos" or self.heads == "normalised"
        if in_groups and self.width % _WIDTHS:
            raise SpecError(
                f"Normalised heads, which fcos always has, have 32 groups of at least two channels. So their width"
                f" is a multiple of {_WIDTHS}, and {self.width} is none."
            )

    def _check_numbers(self) -> None:
        if not isinstance(self.min_size, tuple) or not self.min_size:
            raise SpecError(f"The min_size of a Detector is a tuple of pixels, as (800,), not {self.min_size!r}.")
        numbers = [(name, getattr(self, name)) for name in _NUMBERS]
        for name, value in (*numbers, *(("min_size", each) for each in self.min_size)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpecError(f"The {name} of a Detector is a whole number of at least 1, not {value!r}.")
        if self.max_size < max(self.min_size):
            raise SpecError(
                f"The longer side is at most max_size={self.max_size} pixels, so the shorter one cannot have"
                f" {max(self.min_size)}. Raise max_size, or lower min_size."
            )
        if self.max_size > LARGEST_IMAGE:
            raise SpecError(f"An image has at most {LARGEST_IMAGE} pixels a side, and max_size is {self.max_size}.")

    def _check_anchors(self) -> None:
        for name in ("anchors", "ratios"):
            for each in getattr(self, name):
                if not 0 < each <= _LARGEST_FACTOR:
                    raise SpecError(
                        f"The {name} of a Detector are numbers above 0 and at most {_LARGEST_FACTOR}, not {each!r}."
                    )
        if not self.ratios:
            raise SpecError("Anchors have at least one ratio of height to width, as (1.0,), and ratios is empty.")
        if self.kind == "fcos" and self.anchors:
            raise SpecError(f"An fcos has points and no anchors, and anchors is {self.anchors}. Leave it out.")

    @property
    def name(self) -> str:
        """What it is called: "mask_rcnn_botnet50"."""
        return f"{self.kind}_{self.backbone.name}"

    def to_dict(self) -> dict[str, object]:
        """Give it as plain values that `from_dict` and JSON take."""
        return {"format": FORMAT, **encode_choices(self)}

    @staticmethod
    def from_dict(document: Mapping[str, object]) -> "Detector":
        """Make the detector that `to_dict` described. A key that is missing takes its default.

        Raises:
            SpecError: for another format, an unknown word of the vocabulary, an unknown key, or a missing one that
                has no default.
        """
        content = dict(document)
        found = content.pop("format", None)
        if found != FORMAT:
            raise SpecError(f"This description of a detector is of format {found!r}; this version reads {FORMAT!r}.")
        return decode_choices(Detector, content)

    def to_json(self) -> str:
        """Give `to_dict` as JSON text."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_json(text: str) -> "Detector":
        """Make the detector that `to_json` described. Raises SpecError where the text is not one."""
        return Detector.from_dict(read_document(text, "The description of a detector"))


_RGB = 3
_NUMBERS = ("num_classes", "max_size", "width", "detections", "regions", "proposals")
_LARGEST_FACTOR = 1000
_WIDTHS = 64  # a group of one channel has a single number where a level has a single cell


def _check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        listed = ", ".join(map(repr, words))
        raise SpecError(f"The {name} of a Detector is one of {listed}, not {value!r}.{nearest(str(value), words)}")
