"""The weights of a network, in another form of it: other classes, channels, image size or rates of dropping."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.site import Runtime
from visiongraft.errors import WeightsError
from visiongraft.network import CLASSIFIER, Network
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Blueprint, Foreign, Grafted
from visiongraft.surgery.network import AnyNetwork, blueprint_of, body_of, build, fill
from visiongraft.surgery.operation import repeat
from visiongraft.surgery.places import find
from visiongraft.surgery.rehearsal import on_meta
from visiongraft.surgery.words import Graft


def adapted_to(source: AnyNetwork, spec: Blueprint, *, classifier: Literal["kept", "fresh"] = "kept") -> AnyNetwork:
    """Build a network with the weights of another form of it, or with those of the network before it was grafted.

    What is grafted beyond what the source has begins at random, and so does a classifier that does not fit.

    Args:
        source: whose weights to take; it is left as it is.
        spec: what to build.
        classifier: whether one that fits is kept.

    Raises:
        WeightsError: if the two differ in more.
    """
    if isinstance(source, Network) and isinstance(spec, Backbone):
        return adapted(source, spec, classifier=classifier)
    bare, grafts = _taken_apart(blueprint_of(source))
    wanted, more = _taken_apart(spec)
    _check_base(bare, wanted)
    if more[: len(grafts)] != grafts:
        raise WeightsError(
            f"These are weights of {source.spec.name}, whose grafts {spec.name} does not have. Give all of them, in"
            " their order, or weights without grafts."
        )
    shown = source.at(spec.image) if source.spec.image != spec.image else source
    network = build(spec)
    found, own = body_of(shown).state_dict(), body_of(network).state_dict()
    gone = _replaced(shown, more[len(grafts) :], (spec.in_chans, *spec.image))
    if classifier == "fresh" or source.num_classes != network.num_classes:
        gone = (*gone, f"{classifier_of(body_of(shown), source.num_classes)}.")
    kept = {name: each for name, each in found.items() if not name.startswith(gone)}
    if odd := [name for name, each in kept.items() if name not in own or own[name].shape != each.shape]:
        raise WeightsError(f"These weights of {source.spec.name} do not fit {spec.name}: {odd[0]!r} is another there.")
    fill(network, own | kept)
    return network


def share_kept(source: AnyNetwork, network: AnyNetwork) -> float:
    """Tell how much of a network's learnt numbers another one has, name by name and to the bit, in [0, 1]."""
    ours = dict(body_of(network).named_parameters())
    theirs = dict(body_of(source).named_parameters())
    same = (name for name, each in theirs.items() if name in ours and torch.equal(ours[name], each))
    return sum(theirs[name].numel() for name in same) / sum(each.numel() for each in theirs.values())


def classifier_of(body: nn.Module, num_classes: int) -> str:
    """Give the name of the layer that gives a network's logits: the last one with as many channels as classes.

    Raises:
        WeightsError: if there is none.
    """
    layers = {name: each for name, each in body.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)}
    found = [name for name, each in layers.items() if each.weight.shape[0] == num_classes]
    if not found:
        raise WeightsError(f"This {type(body).__name__} has no layer that tells {num_classes} classes apart.")
    return found[-1]


def _taken_apart(spec: Blueprint) -> tuple[Backbone | Foreign, tuple[Graft, ...]]:
    return (spec.base, spec.grafts) if isinstance(spec, Grafted) else (spec, ())


def _check_base(source: Backbone | Foreign, spec: Backbone | Foreign) -> None:
    if isinstance(source, Backbone) and isinstance(spec, Backbone):
        check_alike(source, spec)
        if source.in_chans != spec.in_chans:
            raise WeightsError(f"These are weights for {source.in_chans} channels, and {spec.in_chans} are wanted.")
    elif isinstance(source, Backbone) or isinstance(spec, Backbone) or source.source != spec.source:
        raise WeightsError(f"These are weights of {source.name}, and {spec.name} is another network.")


def _replaced(source: AnyNetwork, grafts: Sequence[Graft], native: tuple[int, ...]) -> tuple[str, ...]:
    """Give the beginnings of the names of what goes with further grafts."""
    trial = on_meta(body_of(source), ()).network
    gone: list[str] = []
    for graft in grafts:
        gone += [f"{name}." for name in find(trial, graft) if graft.mode == "replace"]
        repeat(trial, [graft], native)
    return tuple(gone)


def adapted(
    source: Network,
    spec: Backbone,
    *,
    classifier: Literal["kept", "fresh"] = "kept",
    runtime: Runtime | None = None,
) -> Network:
    """Build a network with the weights of another form of it.

    Position tables are resampled for another image size. Where the number of classes differs, or a fresh classifier is
    asked for, that is random. The first convolution is fitted to other channels as timm does: for one channel its
    kernels are summed, so that gray images give what they gave in red, green and blue; for others they are repeated or
    cut, and scaled by the old number over the new one. So their sum stays where the old number divides the new one:
    the channels of a gray network's images give what the one gave.

    Args:
        source: whose weights to take; it is left as it is.
        spec: what to build.
        classifier: whether one that fits is kept.
        runtime: what follows from the machine.

    Raises:
        WeightsError: if the two differ in anything else.
    """
    check_alike(source.spec, spec)
    network = Network(spec, runtime)
    tensors = source.state_dict()
    if source.spec.image != spec.image:
        tensors |= _resized_tables(source, network)
    if classifier == "fresh" or source.num_classes != spec.head.num_classes:
        tensors = {name: each for name, each in tensors.items() if not name.startswith(CLASSIFIER)}
        tensors |= {name: each for name, each in network.state_dict().items() if name.startswith(CLASSIFIER)}
    if source.spec.in_chans != spec.in_chans:
        first = next(name for name, each in tensors.items() if each.ndim == _CONV_NDIM)
        tensors[first] = with_channels(tensors[first], spec.in_chans)
    network.load_state_dict(tensors)
    return network


def with_channels(weight: Tensor, channels: int) -> Tensor:
    """Fit the weight of a first convolution, (out, in, h, w), to images of so many channels; see `adapted`."""
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    own = weight.shape[1]
    repeated = weight.repeat(1, -(-channels // own), 1, 1)[:, :channels]
    return repeated * (own / channels)


_CONV_NDIM = 4


@torch.no_grad()
def _resized_tables(source: Network, network: Network) -> dict[str, Tensor]:
    """Give the position tables of a network as they are for the grids of another: what `Network.at` stores."""
    grids = {name: each.grid for name, each in network.named_modules() if isinstance(each, PositionTables)}
    return {
        f"{name}.{key}": table
        for name, each in source.named_modules()
        if isinstance(each, PositionTables)
        for key, table in each.resized(grids[name]).items()
    }


def check_alike(source: Backbone, spec: Backbone) -> None:
    """See that two specs differ only in what weights can be fitted to, and in what is of training alone.

    That is the name, the image size, the numbers of channels and classes, and the rates of dropping.

    Raises:
        WeightsError: if they do not; it says where they differ first.
    """

    def level(each: Backbone) -> Backbone:
        head = replace(each.head, num_classes=0, dropout=0.0)
        return replace(each, name="", image=(1, 1), in_chans=3, drop_path=0.0, head=head)

    difference = _difference(level(source), level(spec), "")
    if difference and source.name == spec.name:
        raise WeightsError(
            f"These are weights of another {source.name}, and yours has other parts: they cannot be taken over."
            f" {difference}. Ask for it as the weights have it, or give weights of yours."
        )
    if difference:
        raise WeightsError(
            f"These are weights of {source.name}, and {spec.name} has other parts: they cannot be taken over."
            f" {difference}. Ask for {source.name}, or give weights of {spec.name}."
        )


def _difference(source: object, spec: object, place: str) -> str:
    """Say where two words of the vocabulary, or two values in them, differ first; empty if they do not."""
    if source == spec:
        return ""
    inside: list[tuple[str, object, object]] = []
    if is_dataclass(source) and type(source) is type(spec):
        names = [each.name for each in fields(source)]
        inside = [(f".{name}", getattr(source, name), getattr(spec, name)) for name in names]
    elif isinstance(source, tuple) and isinstance(spec, tuple) and len(source) == len(spec):
        inside = [(f"[{index}]", *pair) for index, pair in enumerate(zip(source, spec, strict=True))]
    deeper = (_difference(ours, other, place + step) for step, ours, other in inside)
    here = f"Their {place.removeprefix('.')} is {_in_short(source)}, and here it is {_in_short(spec)}"
    return next(filter(None, deeper), here)


def _in_short(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} long"
    return f"a {type(value).__name__}" if is_dataclass(value) else repr(value)
