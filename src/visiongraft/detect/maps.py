"""The maps that a detector looks at: those of our networks by their stages, those of others by watching them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

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
    that is not inside a block which halves it.

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
    found = {each.stride: each for each in seen}
    deep = [stride for stride in sorted(found) if stride >= _FINEST]
    if len(deep) < 2 or any(after != 2 * before for before, after in zip(deep, deep[1:], strict=False)):
        strides = ", ".join(map(str, sorted(found))) or "no whole number of"
        raise SpecError(
            f"{network.spec.name} gives maps (batch, channels, h, w) of {strides} pixels a cell, and a detector on a"
            " network of others needs them at strides from 4 on that double from map to map. Take one whose maps"
            " shrink step by step, as those of torchvision:resnet50."
        )
    return tuple(found[stride] for stride in sorted(found))


_FINEST = 4
_SHOWN = (256, 512)
"""An image that is no square: what a pooling to one cell gives has then no stride."""


def _watched(network: nn.Module) -> list[Map]:
    """List the maps that a network gives on its way whose cells are squares of so many pixels.

    Those inside a module that halves a grid as a whole are left out: what such a block widens before its stride has
    the grid that comes in, and is no result of anything.
    """
    stage = _shown(network)
    found: list[Map] = []
    halving: list[str] = []
    for name, each in stage.network.named_modules():
        if name:
            each.register_forward_hook(partial(_note, found, halving, name))
    stage.watch()
    inside = tuple(f"{name}." for name in halving)
    return [each for each in found if not each.name.startswith(inside)]


def _shown(network: nn.Module) -> Stage:
    """Give a copy without numbers, with an image."""
    like = next(network.parameters())
    return on_meta(network, (torch.zeros(1, 3, *_SHOWN, dtype=like.dtype, device="meta"),))


def _note(found: list[Map], halving: list[str], name: str, module: nn.Module, given: Any, gave: object) -> None:  # noqa: ANN401
    del module
    stride = _stride(gave)
    if not stride:
        return
    assert isinstance(gave, Tensor)
    found.append(Map(name, int(gave.shape[1]), stride))
    if given and stride == 2 * _stride(given[0]):
        halving.append(name)


def _stride(maps: object) -> int:
    """Give the pixels per cell of maps (b, c, h, w); 0 for what is none, or has no square cells."""
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        return 0
    (high, odd), (wide, other) = (divmod(side, cells) for side, cells in zip(_SHOWN, maps.shape[2:], strict=True))
    return high if high == wide and not odd and not other else 0


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
