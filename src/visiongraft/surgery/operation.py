"""One graft: followed and tried on the side first, then done on a copy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from visiongraft.blocks.site import Runtime, Site
from visiongraft.errors import SurgeryError
from visiongraft.network import HISTORY, Network
from visiongraft.surgery.places import Place, find
from visiongraft.surgery.planting import plant
from visiongraft.surgery.rehearsal import (
    AXES_OF_MAPS,
    Call,
    Net,
    Pass,
    Shape,
    Stage,
    Stopped,
    copied,
    in_full,
    on_meta,
)
from visiongraft.surgery.report import GraftReport, compared
from visiongraft.surgery.words import Graft


@dataclass(frozen=True)
class Deed:
    """A graft that a network has had, as the network keeps it in one attribute, which copies and pickles take along.

    Args:
        graft: what was chosen.
        shown: shape of the images that it followed from, (b, c, h, w); empty where it was shown something else.
    """

    graft: Graft
    shown: Shape

    def repeat_on(self, network: Network) -> None:
        """Do it once more, in place, on another network of ours."""
        repeat(network, [self.graft], (network.spec.in_chans, *network.spec.image))


def deeds_of(network: nn.Module) -> tuple[Deed, ...]:
    """Give the grafts that a network has had, the first one first."""
    found: tuple[Deed, ...] = getattr(network, HISTORY, ())
    return found


def native_shape(network: nn.Module) -> Shape | None:
    """Give channels, height and width of the images that a network is made for, where that is settled."""
    if isinstance(network, Network):
        return (network.spec.in_chans, *network.spec.image)
    past = [each.shown for each in deeds_of(network) if each.shown]
    return past[-1][1:] if past else None


def operate(net: Net, graft: Graft, *, example: object = None, native: Shape | None = None) -> tuple[Net, GraftReport]:
    """Give a grafted copy of a network, and what was done. Arguments and errors are those of `visiongraft.graft`.

    Args:
        net: the network, which is left as it is.
        graft: what to graft, and where.
        example: as there.
        native: channels, height and width of the images that the network is made for; None where it knows itself.
    """
    names = find(net, graft)
    native = native or native_shape(net)
    stage, before = _followed(
        net, _arguments(net, example, native), names, by_example=example is not None, counting=True
    )
    places = [_place(stage.network, name, before, graft) for name in names]
    new = [plant(stage.network, place, graft, Runtime(kernels="plain")) for place in places]
    after = _watched_again(stage, new, places, before, graft)
    result = copied(net)
    _plant_all(result, graft, places, _shape_of(stage.shown))
    macs = before.macs, after.macs
    return result, compared(net, result, graft, places, macs=macs, example=_shape_of(stage.shown))


def repeat(network: nn.Module, grafts: Iterable[Graft], native: Shape) -> None:
    """Graft, in place, what is known to fit.

    Args:
        network: the network, on any device.
        grafts: one after the other.
        native: channels, height and width of the images that it is made for.

    Raises:
        SurgeryError: as `visiongraft.graft` does.
    """
    for graft in grafts:
        names = find(network, graft)
        stage = on_meta(network, (torch.zeros(1, *native, dtype=dtype_of(network), device="meta"),))
        try:
            seen = stage.watch(names)
        except Stopped as error:
            raise SurgeryError(
                f"This {type(network).__name__} cannot be followed with images of {_by(native)} on the meta device"
                f" ({error}). Give another size of images, or another network."
            ) from error
        places = [_place(stage.network, name, seen, graft) for name in names]
        _plant_all(network, graft, places, (1, *native))


def _plant_all(network: nn.Module, graft: Graft, places: Iterable[Place], shown: Shape) -> None:
    for place in places:
        plant(network, place, graft, getattr(network, "runtime", Runtime()))
    setattr(network, HISTORY, (*deeds_of(network), Deed(graft, shown)))


def _arguments(net: nn.Module, example: object, native: Shape | None) -> tuple[object, ...]:
    """Give the arguments that a network is shown.

    Raises:
        SurgeryError: if the network is native at another size than that of the example.
    """
    if example is None:
        return (torch.zeros(1, *(native or _usual(net)), dtype=dtype_of(net), device="meta"),)
    shown = example if isinstance(example, tuple) else (example,)
    shape = _shape_of(shown)
    if native and shape[1:] and shape[1:] != native:
        raise SurgeryError(
            f"This network is native at {_by(native)}, and the example is {_by(shape[1:])}. Leave it out, or make"
            " another size the native one first."
        )
    return shown


def dtype_of(network: nn.Module) -> torch.dtype:
    """Give the type of a network's weights, and so of its images."""
    return next((each for each in network.parameters() if each.is_floating_point()), torch.empty(0)).dtype


def _usual(net: nn.Module) -> Shape:
    """Guess channels, height and width of a network's images."""
    cfg = getattr(net, "pretrained_cfg", None)  # what timm's networks have
    if isinstance(cfg, dict) and cfg.get("input_size"):
        return tuple(cfg["input_size"])
    first = next((each for each in net.modules() if isinstance(each, nn.Conv2d)), None)
    return (3 if first is None else first.in_channels, 224, 224)


def _shape_of(shown: tuple[object, ...]) -> Shape:
    """Give the shape of what a network is shown, where that is a batch of images and nothing else; else ()."""
    alone = shown[0] if len(shown) == 1 else None
    return tuple(alone.shape) if isinstance(alone, Tensor) and alone.ndim == AXES_OF_MAPS else ()


def _followed(
    net: nn.Module, shown: tuple[object, ...], names: Sequence[str], *, by_example: bool, counting: bool
) -> tuple[Stage, Pass]:
    """Run a network on the side, on the meta device if it can be, and watch modules of it.

    Raises:
        SurgeryError: if it cannot be run.
    """
    try:
        stage = on_meta(net, shown)
        return stage, stage.watch(names, counting=counting)
    except SurgeryError as error:
        if not by_example:
            raise SurgeryError(
                f"This {type(net).__name__} cannot be followed on the meta device ({error}). Give example=IMAGES, a"
                " batch that it takes, to have it followed on that."
            ) from error
    try:
        stage = in_full(net, shown)
        return stage, stage.watch(names, counting=counting)
    except SurgeryError as error:
        raise SurgeryError(f"This {type(net).__name__} cannot be run on the example: {error}") from error


def _place(network: nn.Module, name: str, seen: Pass, graft: Graft) -> Place:
    """Describe a place from what was seen there.

    Raises:
        SurgeryError: if a mixer would not be called once, with maps.
    """
    module, calls = network.get_submodule(name), seen.calls[name]
    kind = type(module).__name__
    if len(calls) != 1:
        times = "is not called" if not calls else f"is called {len(calls)} times"
        raise SurgeryError(f"{name!r} {times} in one pass of the network, and a mixer has one place. Leave it out.")
    (call,) = calls
    if len(call.gave) != AXES_OF_MAPS:
        gives = f"what has the shape {_by(call.gave)}" if call.gave else "what is no tensor"
        raise SurgeryError(f"{name!r} gives {gives}, and a mixer takes maps (b, c, h, w). Leave it out.")
    if graft.mode == "insert":
        _, width, *grid = call.gave
        return Place(name, kind, Site(width, width, 1, (grid[0], grid[1])))
    assert isinstance(module, nn.Conv2d)
    site = Site(module.in_channels, module.out_channels, module.stride[0], (call.given[2], call.given[3]))
    return Place(name, kind, site)


def _watched_again(stage: Stage, new: Sequence[str], places: Sequence[Place], before: Pass, graft: Graft) -> Pass:
    """Run the grafted network on the side, and see that every mixer does what stood there, in shape.

    Raises:
        SurgeryError: if one does not.
    """
    kind = type(graft.mixer).__name__
    try:
        after = stage.watch(new, counting=True)
    except Stopped as error:
        _check_shapes(new, places, before, error.calls, graft)
        raise SurgeryError(f"With {kind} at {graft.at!r} the network cannot be run: {error}") from error
    _check_shapes(new, places, before, after.calls, graft)
    at = "at" if graft.mode == "replace" else "behind"
    for name, place in zip(new, places, strict=True):
        if len(after.calls[name]) != 1:
            raise SurgeryError(
                f"What is put {at} {place.name!r} is called {len(after.calls[name])} times in one pass: a module there"
                " runs its parts in a way of its own. Name another place, such as a part of it."
            )
    if after.result != before.result:
        raise SurgeryError(
            f"With {kind} at {graft.at!r} the network gives other shapes than before. Name other places."
        )
    return after


def _check_shapes(
    new: Sequence[str], places: Sequence[Place], before: Pass, calls: Mapping[str, list[Call]], graft: Graft
) -> None:
    """Refuse a mixer that gives other maps than what stood there."""
    for name, place in zip(new, places, strict=True):
        (wanted,) = before.calls[place.name]
        for call in calls[name]:
            if call.gave != wanted.gave:
                raise SurgeryError(
                    f"{type(graft.mixer).__name__} gives maps of {_by(call.gave[1:])} at {place.name!r}, where"
                    f" {_by(wanted.gave[1:])} are wanted. A mixer maps (b, in_width, h, w) to (b, width, h/stride,"
                    " w/stride), rounded up."
                )


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape))
