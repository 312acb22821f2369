"""A network that others wrote, or a grafted one, with what trainings, files and verdicts have to know of it."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.site import Runtime
from visiongraft.errors import GraftError, ImageSizeError, SurgeryError
from visiongraft.kernels.types import Grid
from visiongraft.network import HISTORY, Network
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import OWN, Blueprint, Foreign, Grafted, make
from visiongraft.surgery.operation import deeds_of, dtype_of, repeat
from visiongraft.surgery.rehearsal import AXES_OF_LOGITS, Stage, copied, on_meta


class ForeignNetwork(nn.Module):
    """A network by a blueprint that is no `Backbone`.

    Args:
        spec: what the network is.
        body: the network itself, of its own class. It is taken as it is, not copied.

    Images are (batch, in_chans, h, w) floating-point tensors. `forward` gives logits (batch, num_classes). Which sizes
    the network takes is its own affair; what is grafted takes any.
    """

    def __init__(self, spec: Foreign | Grafted, body: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, (b, num_classes)."""
        return self.body(images)

    @property
    def num_classes(self) -> int:
        """How many logits go out."""
        return self.spec.num_classes

    @cached_property
    def smallest_image(self) -> int:
        """The smallest side in pixels, up to those of the native size, at which the network can be run."""
        largest = min(self.spec.image)
        low, high = 1, largest
        trial = on_meta(self.body, ())
        while low < high:
            side = (low + high) // 2
            low, high = (low, side) if not self._refusal(trial, (side, side)) else (side + 1, high)
        return low

    def check_takes(self, image: Grid) -> None:
        """Refuse an image size, height and width in pixels, that the network cannot be run at.

        Raises:
            ImageSizeError: with the reason that the network gave.
        """
        if reason := self._refusal(on_meta(self.body, ()), image):
            shown = "x".join(map(str, image))
            raise ImageSizeError(f"{self.spec.name} cannot take images of {shown} pixels: {reason}")

    def _refusal(self, trial: Stage, image: Grid) -> str:
        """Say why the network cannot be run at a size; empty if it can."""
        try:
            replace(trial, shown=(_images(self.body, (1, self.spec.in_chans, *image)),)).watch()
        except GraftError as error:
            return str(error)
        return ""

    def at(self, image: int | Grid) -> "ForeignNetwork":
        """Give a copy whose position tables are stored for another image size, in pixels, resampled from ours."""
        other = copy.deepcopy(self)
        other.__dict__.pop("smallest_image", None)
        other.spec = self.spec.at(image)
        shape = (1, self.spec.in_chans, *other.spec.image)
        if isinstance(other.body, Network):
            other.body.set_input_size(other.spec.image)
            return other
        for name, grid in _grids_of_tables(other.body, shape).items():
            tables = other.body.get_submodule(name)
            assert isinstance(tables, PositionTables)
            tables.adopt(grid)
        setattr(other.body, HISTORY, tuple(replace(each, shown=shape) for each in deeds_of(other.body)))
        return other


AnyNetwork = Network | ForeignNetwork
"""Whatever a blueprint builds."""


def build(spec: Blueprint, runtime: Runtime | None = None, *, base: nn.Module | None = None) -> AnyNetwork:
    """Build the network that a value describes, with random weights.

    Args:
        spec: the value.
        runtime: what follows from the machine, for networks of ours.
        base: in the place of what would be built of `Foreign`, a network of that kind; it is copied, with its weights.

    Raises:
        SurgeryError: if only the user can build it, or its grafts do not fit it.
        UnknownModel: if a library has none of that name.
    """
    if isinstance(spec, Backbone):
        return Network(spec, runtime)
    if isinstance(spec, Foreign):
        return ForeignNetwork(spec, make(spec) if base is None else copied(base))
    body = build(spec.base, runtime, base=base)
    inner = body.body if isinstance(body, ForeignNetwork) else body
    repeat(inner, spec.grafts, (spec.in_chans, *spec.image))
    return ForeignNetwork(spec, inner)


def build_empty(spec: Blueprint, *, base: nn.Module | None = None) -> AnyNetwork:
    """Build the network that a value describes without its numbers, which may be more than a memory holds.

    Arguments and errors are those of `build`.
    """
    try:
        with torch.device("meta"):
            return build(spec, base=base and on_meta(base, ()).network)
    except NotImplementedError:  # torchvision's RegNets look at numbers while they are built
        return build(spec, base=base).to("meta")


def blueprint_of(network: nn.Module) -> Blueprint:
    """Give the value that describes a network.

    Args:
        network: one that was built of such a value, or that `visiongraft.graft` gave.

    Raises:
        SurgeryError: if none can.
    """
    if isinstance(network, ForeignNetwork):
        return network.spec
    deeds = deeds_of(network)
    grafts = tuple(each.graft for each in deeds)
    if isinstance(network, Network):
        return Grafted(network.spec, grafts) if grafts else network.spec
    kind = type(network).__name__
    if not all(each.shown for each in deeds) or not deeds:
        reason = "was grafted by an example that is no batch of images" if deeds else "has no grafts"
        raise SurgeryError(f"This {kind} {reason}, so no value describes it.")
    shown = deeds[-1].shown
    gave = on_meta(network, (_images(network, shown),)).watch().result
    classes = gave[-1] if isinstance(gave, tuple) and len(gave) == AXES_OF_LOGITS else 0
    return Grafted(Foreign(f"{OWN}:{kind}", classes, (shown[2], shown[3]), shown[1]), grafts)


def body_of(network: nn.Module) -> nn.Module:
    """Give the module whose tensors a file holds, under the names that they have there."""
    return network.body if isinstance(network, ForeignNetwork) else network


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a network, by the names of a file. All of them must be there, and no others.

    Those of others may ask of which version of theirs the tensors are, which a file does not tell: of today's.
    """
    body = body_of(network)
    own = body.state_dict()
    assert own.keys() == tensors.keys(), "what is checked before"
    own.update(tensors)  # it keeps the versions, which a plain dict has not
    body.load_state_dict(own)


def named_as_in_files(spec: Blueprint, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Give a network's tensors the names that they have in a file: those of the module inside."""
    if isinstance(spec, Backbone):
        return tensors
    return {name.removeprefix("body."): each for name, each in tensors.items()}


def with_classes(spec: Blueprint, num_classes: int) -> Blueprint:
    """Give the same network for another number of classes."""
    if isinstance(spec, Backbone):
        return replace(spec, head=replace(spec.head, num_classes=num_classes))
    if isinstance(spec, Foreign):
        return replace(spec, num_classes=num_classes)
    base = with_classes(spec.base, num_classes)
    assert not isinstance(base, Grafted)
    return replace(spec, base=base)


def fitted(spec: Blueprint, *, image: int | Grid | None = None, num_classes: int | None = None) -> Blueprint:
    """Give the same network for another image size or number of classes; what is None stays."""
    spec = spec if num_classes is None else with_classes(spec, num_classes)
    return spec if image is None else spec.at(image)


def check_takes(spec: Blueprint, image: Grid) -> None:
    """Refuse an image size, height and width in pixels, that a network cannot take.

    Raises:
        ImageSizeError: if it cannot.
    """
    if isinstance(spec, Backbone):
        spec.grids(image)
        return
    network = build_empty(spec)
    assert isinstance(network, ForeignNetwork)
    network.check_takes(image)


def _images(network: nn.Module, shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, dtype=dtype_of(network), device="meta")


def _grids_of_tables(network: nn.Module, shape: tuple[int, ...]) -> dict[str, Grid]:
    """Give the grid that each position table of a network is asked for, with images of a shape."""
    stage = on_meta(network, (_images(network, shape),))
    found: dict[str, Grid] = {}
    for name, each in stage.network.named_modules():
        if isinstance(each, PositionTables):
            each.register_forward_pre_hook(partial(_note_grid, found, name))
    stage.watch()
    return found


def _note_grid(found: dict[str, Grid], name: str, module: nn.Module, given: tuple[Grid, ...]) -> None:
    del module
    found[name] = given[0]
