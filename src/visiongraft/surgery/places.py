"""Where in a network a mixer can be: patterns of names, and what a convolution asks of what replaces it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from visiongraft.blocks.site import Site, shrink
from visiongraft.errors import SurgeryError, nearest
from visiongraft.surgery.words import Graft


@dataclass(frozen=True)
class Place:
    """A place of a network at which a mixer is grafted.

    Args:
        name: of the module that is replaced, or behind which the mixer is.
        kind: the class of that module.
        site: what the mixer learns from it.
    """

    name: str
    kind: str
    site: Site


def find(network: nn.Module, graft: Graft) -> list[str]:
    """Give the names of the modules that a graft is at, each known to be of a kind that it can be at.

    Raises:
        SurgeryError: if there are none, or one is of another kind.
    """
    modules = {name: each for name, each in network.named_modules() if name}
    found = [name for name in modules if _fits(name.split("."), graft.at.split("."))]
    if not found:
        likely = [name for name, each in modules.items() if graft.mode == "insert" or is_spatial(each)]
        raise SurgeryError(
            f"No module of this {type(network).__name__} is at {graft.at!r}.{nearest(graft.at, likely)} A star is what"
            f" stands between two dots; named_modules() lists the {len(modules)} names."
        )
    if graft.mode == "replace":
        for name in found:
            _check_convolution(name, modules[name], graft, modules)
    return found


def is_spatial(module: nn.Module) -> bool:
    """Tell whether a module is a convolution that sees more than one cell."""
    return isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _check_convolution(name: str, module: nn.Module, graft: Graft, modules: dict[str, nn.Module]) -> None:
    """Refuse what a mixer cannot stand for."""
    if not (isinstance(module, nn.Conv2d) and is_spatial(module)):
        kind = "a 1x1 convolution" if isinstance(module, nn.Conv2d) else f"a {type(module).__name__}"
        inside = [each for each, its in modules.items() if is_spatial(its) and each.startswith(f"{name}.")]
        near = (
            f" Did you mean {inside[0]!r}?"
            if inside
            else nearest(name, [x for x in modules if is_spatial(modules[x])])
        )
        raise SurgeryError(f"{name!r} is {kind}, and a mixer replaces spatial convolutions.{near}")
    if module.stride not in ((1, 1), (2, 2)):
        raise SurgeryError(f"{name!r} has a stride of {_by(module.stride)}, and mixers have 1 or 2. Leave it out.")
    if module.groups > 1 and "groups" not in graft.lose and module.groups != getattr(graft.mixer, "groups", 1):
        raise SurgeryError(
            f"{name!r} has {module.groups} groups, which {type(graft.mixer).__name__} cannot keep. If they may go, say"
            " lose=('groups',), or --graft-lose groups."
        )
    if max(module.dilation) > 1 and "dilation" not in graft.lose:
        raise SurgeryError(
            f"{name!r} has a dilation of {_by(module.dilation)}, which {type(graft.mixer).__name__} cannot keep. If it"
            " may go, say lose=('dilation',), or --graft-lose dilation."
        )
    if not _rounds_up(module):
        raise SurgeryError(
            f"{name!r} changes the size of its map otherwise than mixers do, which divide it by the stride and round"
            f" up: its kernel is {_by(module.kernel_size)}, its padding {_by(module.padding)}. Leave it out."
        )


def _by(sides: Sequence[int] | str) -> str:
    return repr(sides) if isinstance(sides, str) else "x".join(map(str, sides))


@torch.no_grad()
def _rounds_up(convolution: nn.Conv2d) -> bool:
    """Tell whether a convolution divides an odd and an even size by its stride and rounds up."""
    reach = 2 * max(convolution.kernel_size) * max(convolution.dilation)
    grid = (reach + 1, reach + 2)
    weight = convolution.weight
    maps = torch.zeros(1, convolution.in_channels, *grid, device=weight.device, dtype=weight.dtype)
    return tuple(convolution(maps).shape[2:]) == shrink(grid, convolution.stride[0])


def described(places: Sequence[Place]) -> str:
    """List places in words, a few of them by name."""
    names = ", ".join(repr(each.name) for each in places[:_BY_NAME])
    more = len(places[_BY_NAME:])
    return f"{names} and {more} more" if more else names


_BY_NAME = 3
