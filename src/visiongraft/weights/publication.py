"""Weights that a library publishes for a network of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import Foreign


@dataclass(frozen=True)
class Keeping:
    """How files are kept that are fetched.

    Args:
        folder: where; None for the place where the library itself keeps them.
        offline: fetch nothing.
    """

    folder: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class Publication:
    """Weights that a library publishes for a network of its own.

    Args:
        spec: the network, at the size that its authors test it at.
        file: with the weights.
        preprocessing: what images go through, at that size.
        scores: what is claimed of them at that size.
    """

    spec: Foreign
    file: Path
    preprocessing: Preprocessing
    scores: Mapping[str, float] = field(default_factory=dict)


Publisher = Callable[[str, str, Keeping], Publication]
"""Gives weights of a network, by its source such as "timm:resnet50" and the tag of the weights, "" for the default."""
