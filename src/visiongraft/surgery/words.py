"""What somebody chose when a mixer was grafted, as a word of the vocabulary."""

import re
from dataclasses import dataclass, is_dataclass
from typing import Literal, get_args

from visiongraft.blocks.site import Block
from visiongraft.errors import SurgeryError
from visiongraft.vocabulary import check_choices, register, spelt

Mode = Literal["replace", "insert"]
"""A mixer in the place of a spatial convolution, or a residual one behind a module."""

Loss = Literal["groups", "dilation"]
"""What of a convolution may go with it."""


@register
@dataclass(frozen=True)
class Graft:
    """A mixer at some places of a network.

    Args:
        at: the places, as a pattern of modules' names: "layer4.*.conv2". A star is any part of a name between two
            dots, two stars are any number of such parts.
        mixer: what is built there: a frozen dataclass with `build(site)`.
        mode: "replace" a spatial convolution, or "insert" a residual mixer behind a module, which starts as nothing.
        lose: of a convolution that is replaced, what the mixer cannot keep and may lose: "groups", "dilation".
    """

    at: str
    mixer: Block
    mode: Mode = "replace"
    lose: tuple[Loss, ...] = ()

    def __post_init__(self) -> None:
        name = type(self.mixer).__name__
        if isinstance(self.mixer, type):
            raise SurgeryError(f"The mixer is the class {self.mixer.__name__}. Give {self.mixer.__name__}().")
        parameters = getattr(self.mixer, "__dataclass_params__", None)
        if not (is_dataclass(self.mixer) and parameters.frozen and callable(getattr(self.mixer, "build", None))):
            raise SurgeryError(
                f"A mixer is a frozen dataclass with build(site), as visiongraft.GridAttention(heads=4), not a {name}."
            )
        check_choices(self)
        if odd := [each for each in self.lose if each not in get_args(Loss)]:
            raise SurgeryError(f"A mixer may lose 'groups' and 'dilation', not {odd[0]!r}.")

    @property
    def name(self) -> str:
        """What was grafted and where, as a name of a file may be: "gridattention-heads=8-at-layer4.conv2"."""
        where = "at" if self.mode == "replace" else "after"
        return f"{_plain(spelt(self.mixer))}-{where}-{_plain(self.at) or 'all'}"


def _plain(text: str) -> str:
    """Leave of a text what the name of a file may hold anywhere; the stars of a pattern go."""
    found = re.sub("[^a-z0-9_.=]+", "-", re.sub(r"\*|[^\w.]*[\[\]]+[^\w.]*", "", text.lower()))
    return re.sub(r"\.{2,}", ".", found.replace("=-", "=")).strip("-.")
