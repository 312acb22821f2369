"""Networks of others as values: by the library and the name that build them, and with what was grafted into them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib import import_module

from torch import nn

from visiongraft.errors import SpecError, SurgeryError, UnknownModel, nearest
from visiongraft.kernels.types import Grid
from visiongraft.spec import FORMAT, Backbone, check_size, described, size_of
from visiongraft.surgery.words import Graft
from visiongraft.vocabulary import encode, register

OWN = "own"
"""What stands for a library where only the user can build the network."""


@register
@dataclass(frozen=True)
class Foreign:
    """A network that a library builds by name.

    Args:
        source: library and name, as "torchvision:resnet50"; "own:ResNet" for one that only its user can build, with
            the name of its class. "timm:" needs timm.
        num_classes: how many logits go out.
        image: height and width in pixels that position tables of what is grafted are stored for.
        in_chans: channels of the images.
    """

    source: str
    num_classes: int = 1000
    image: Grid = (224, 224)
    in_chans: int = 3

    def __post_init__(self) -> None:
        library, _, name = self.source.partition(":")
        if not name:
            raise SpecError(f"A network of others is named as torchvision:resnet50, not {self.source!r}.")
        known = sorted({*LIBRARIES, *DOORS})
        if library not in (OWN, *known):
            raise UnknownModel(
                f"{self.source!r} names the library {library!r}, and known are {', '.join(known)}."
                f"{nearest(library, known)}"
            )
        check_size(self.image)

    @property
    def name(self) -> str:
        """What the network is called where a name may hold no colon: "torchvision_resnet50"."""
        return self.source.replace(":", "_").lower()

    def at(self, image: int | Grid) -> "Foreign":
        """Give the same network with another native image size, in pixels: one number for a square, or (h, w)."""
        return replace(self, image=size_of(image))

    def to_dict(self) -> dict[str, object]:
        """Give it as plain values that `read_blueprint` and JSON take."""
        return {"format": FORMAT, **encode(self)}

    def to_json(self) -> str:
        """Give `to_dict` as JSON text."""
        return json.dumps(self.to_dict())


_LONGEST_NAME = 120
"""Folders are called after networks, and after more."""


@register
@dataclass(frozen=True)
class Grafted:
    """A network with mixers grafted into it.

    Args:
        base: the network without them.
        grafts: what was grafted, one after the other.
    """

    base: Backbone | Foreign
    grafts: tuple[Graft, ...]

    @property
    def name(self) -> str:
        """The name of the base with each graft, as "torchvision_resnet50+gridattention-at-layer4.conv2"."""
        name = "+".join([self.base.name, *(each.name for each in self.grafts)])
        if len(name) <= _LONGEST_NAME:
            return name
        return f"{name[:_LONGEST_NAME]}-{blake2b(name.encode(), digest_size=3).hexdigest()}"

    @property
    def image(self) -> Grid:
        """Height and width in pixels that position tables are stored for."""
        return self.base.image

    @property
    def in_chans(self) -> int:
        """Channels of the images."""
        return self.base.in_chans

    @property
    def num_classes(self) -> int:
        """How many logits go out."""
        return self.base.num_classes

    def at(self, image: int | Grid) -> "Grafted":
        """Give the same network with another native image size, in pixels: one number for a square, or (h, w)."""
        return replace(self, base=self.base.at(image))

    def to_dict(self) -> dict[str, object]:
        """Give it as plain values that `read_blueprint` and JSON take."""
        return {"format": FORMAT, **encode(self)}

    def to_json(self) -> str:
        """Give `to_dict` as JSON text."""
        return json.dumps(self.to_dict())


Blueprint = Backbone | Foreign | Grafted
"""All that a network can be described by."""


def read_blueprint(document: Mapping[str, object]) -> Blueprint:
    """Make the value that `to_dict` of any of them described.

    Raises:
        SpecError: for another format, an unknown word of the vocabulary, or a word that is no network.
    """
    spec = described(document)
    if not isinstance(spec, Backbone | Foreign | Grafted):
        raise SpecError(
            f"A network description must describe a Backbone, Foreign or Grafted, not {document.get('kind')!r}."
        )
    return spec


def _of_torchvision(spec: Foreign) -> nn.Module:
    """Build a classifier of torchvision with random weights."""
    from torchvision import models  # `graft list` must not wait for it

    name = spec.source.partition(":")[2]
    known = models.list_models(module=models)
    if name not in known:
        raise UnknownModel(f"torchvision has no classifier {name!r}.{nearest(name, known)}")
    if spec.in_chans != _RGB:
        raise SpecError(f"Networks of torchvision take 3 channels, and {spec.in_chans} are asked for.")
    if name in TWO_HEADED:  # in training they would give more than logits
        return models.get_model(name, num_classes=spec.num_classes, aux_logits=False, init_weights=True)
    return models.get_model(name, num_classes=spec.num_classes)


_RGB = 3
TWO_HEADED = ("googlenet", "inception_v3")
"""Those of torchvision with further heads, which are left out here."""

LIBRARIES: dict[str, Callable[[Foreign], nn.Module]] = {"torchvision": _of_torchvision}
"""What builds the networks of a library, with random weights."""

DOORS = {"timm": "visiongraft.timm"}
"""Which module of ours adds a library that is not always there. It is imported when a network is asked for."""


def make(spec: Foreign) -> nn.Module:
    """Build a network of a library, with random weights.

    Raises:
        SurgeryError: if only the user can.
        UnknownModel: if the library has none of that name.
        MissingExtra: if the library is not installed.
    """
    library = spec.source.partition(":")[0]
    if library == OWN:
        raise SurgeryError(
            f"{spec.source!r} is a network that only you can build. Give it, as in visiongraft.load(FILE, base=NET)."
        )
    open_door(library)
    return LIBRARIES[library](spec)


def open_door(library: str) -> None:
    """Import what adds a library, where that is not always there.

    Raises:
        MissingExtra: if it is not installed.
    """
    if library in DOORS:
        import_module(DOORS[library])
