"""The maps that a detector looks at: those of our networks by their stages, those of others by watching them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from visiongraft.errors import GraftError, SpecError
from visiongraft.network import FeatureExtractor, FeatureInfo, Network
from visiongraft.surgery.network import AnyNetwork, ForeignNetwork
from visiongraft.surgery.rehearsal import Stage, on_meta


@dataclass(frozen=True)
class Map:
    """A map that a network gives on its way.

    Args:
        name: of the module that gives it; for a network of ours, of the map itself.
        width: channels.
        stride: pixels per cell.
    """

    name: str
    width: int
    stride: int


def maps_of(network: AnyNetwork) -> tuple[Map, ...]:
    """List the maps of a network that a detector can look at, in the order in which they are computed.

    Of one of ours, these are the maps after the stem and each stage. Of one of others, the last map of each grid
    that is not inside a block.

    Raises:
        SpecError: if those of a network of others do not shrink step by step, or it takes no image of 256x512 pixels.
    """
    inner = network.body if isinstance(network, ForeignNetwork) else network
    if isinstance(inner, Network):
        return tuple(Map(*each) for each in FeatureInfo.of(inner.spec).features)
    try:
        seen = _watched(inner)
    except GraftError as error:
        raise SpecError(
            f"{network.spec.name} cannot look at 256x512 pixels, as a detector has it do: {error}"
        ) from error
    found = {stride: _outermost(seen, stride) for stride in sorted({each.stride for each in seen})}
    deep = [stride for stride in found if stride >= _FINEST]
    if len(deep) < 2 or any(after != 2 * before for before, after in zip(deep, deep[1:], strict=False)):
        strides = ", ".join(map(str, found)) or "no"
        raise SpecError(
            f"{network.spec.name} gives maps (batch, channels, h, w) of {strides} pixels a cell, and a detector on a"
            " network of others needs them at strides from 4 on that double from map to map. Take one whose maps"
            " shrink step by step, as those of torchvision:resnet50."
        )
    return tuple(found.values())


def _outermost(maps: Sequence[Map], stride: int) -> Map:
    """Choose the last map of a stride that is not inside a block, or as far outside as there is one."""
    of_stride = [each for each in maps if each.stride == stride]
    depth = min(each.name.count(".") for each in of_stride)
    return next(each for each in reversed(of_stride) if each.name.count(".") == depth)


_FINEST = 4
_SHOWN = (256, 512)
"""An image that is no square: what a pooling to one cell gives has then no stride."""


def _watched(network: nn.Module) -> list[Map]:
    """List all maps that a network gives on its way whose cells are squares of so many pixels."""
    stage = _shown(network)
    found: list[Map] = []
    for name, each in stage.network.named_modules():
        if name:
            each.register_forward_hook(partial(_note, found, name))
    stage.watch()
    return found


def _shown(network: nn.Module) -> Stage:
    """Give a copy without numbers, with an image."""
    like = next(network.parameters())
    return on_meta(network, (torch.zeros(1, 3, *_SHOWN, dtype=like.dtype, device="meta"),))


def _note(found: list[Map], name: str, module: nn.Module, given: object, gave: object) -> None:
    del module, given
    if not isinstance(gave, Tensor) or gave.ndim != 4:
        return
    (high, odd), (wide, other) = (divmod(side, cells) for side, cells in zip(_SHOWN, gave.shape[2:], strict=True))
    if high == wide and not odd and not other:
        found.append(Map(name, int(gave.shape[1]), high))


def trunk_of(network: AnyNetwork, maps: Sequence[Map]) -> nn.Module:
    """Give the part of a network that `look` takes maps from. Modules are shared, and what is behind the maps goes.

    Args:
        network: the network.
        maps: those that are wanted, of `maps_of`.
    """
    inner = network.body if isinstance(network, ForeignNetwork) else network
    if isinstance(inner, Network):
        names = FeatureInfo.of(inner.spec).module_name()
        return FeatureExtractor(inner, [names.index(each.name) for each in maps])
    for name in _behind(inner, {each.name for each in maps}):
        around, _, leaf = name.rpartition(".")
        inner.get_submodule(around).register_module(leaf, nn.Identity())
    return inner


def look(trunk: nn.Module, names: Sequence[str], images: Tensor) -> list[Tensor]:
    """Give the maps (b, c, h, w) of these names, from a part of a network that `trunk_of` gave."""
    if isinstance(trunk, FeatureExtractor):
        return trunk(images)
    found: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in names:
            handle = trunk.get_submodule(name).register_forward_hook(partial(_keep, found, name))
            hooks.callback(handle.remove)
        trunk(images)
    return [found[name] for name in names]


def _keep(found: dict[str, Tensor], name: str, module: nn.Module, given: object, gave: Tensor) -> None:
    del module, given
    found[name] = gave


def _behind(network: nn.Module, wanted: set[str]) -> list[str]:
    """List the modules, without those inside them, that run after all wanted maps are there."""
    stage = _shown(network)
    missing = set(wanted)
    late: dict[str, bool] = {}
    for name, each in stage.network.named_modules():
        if name:
            each.register_forward_pre_hook(partial(_note_start, missing, late, name))
            each.register_forward_hook(partial(_note_end, missing, name))
    stage.watch()
    found = [name for name, is_late in late.items() if is_late]
    return [name for name in found if not name.startswith(tuple(f"{each}." for each in found))]


def _note_start(missing: set[str], late: dict[str, bool], name: str, module: nn.Module, given: object) -> None:
    del module, given
    late.setdefault(name, not missing)


def _note_end(missing: set[str], name: str, module: nn.Module, given: object, gave: object) -> None:
    del module, given, gave
    missing.discard(name)
