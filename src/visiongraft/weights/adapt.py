"""The weights of a network, in another form of it: other classes, channels, image size or rates of dropping."""

from dataclasses import fields, is_dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.site import Runtime
from visiongraft.errors import WeightsError
from visiongraft.network import CLASSIFIER, Network
from visiongraft.spec import Backbone


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
