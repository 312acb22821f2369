"""How a mixer gets into a network: in the place of a module, or behind one."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visiongraft.blocks.primitives import ChannelNorm, ChannelScale
from visiongraft.blocks.site import Runtime
from visiongraft.errors import GraftError, SurgeryError
from visiongraft.surgery.places import Place
from visiongraft.surgery.words import Graft

CHILD = "graft"
"""What a mixer is called in the module behind which it stands."""


class Inserted(nn.Module):
    """A residual branch that starts as nothing: maps + scale * mixer(norm(maps)), with a scale of 0 for each channel.

    The normalisation is of each cell over its channels: it knows no batch, and so nothing of how a network is trained.

    Args:
        mixer: from maps (b, width, h, w) to the same shape.
        width: channels.
    """

    def __init__(self, mixer: nn.Module, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.mixer = mixer
        self.scale = ChannelScale(width, 0.0)

    def forward(self, maps: Tensor) -> Tensor:
        """Add the branch, in the precision of the maps."""
        return maps + self.scale(self.mixer(self.norm(maps))).to(maps.dtype)


def plant(network: nn.Module, place: Place, graft: Graft, runtime: Runtime) -> str:
    """Build a mixer and put it into a network, in place.

    Args:
        network: which is changed.
        place: where.
        graft: what.
        runtime: what follows from the machine.

    Returns:
        The name of the new module.

    Raises:
        SurgeryError: if it cannot be built for this place, or cannot stand there.
    """
    host = network.get_submodule(place.name)
    like = next(host.parameters(), next(network.parameters(), torch.empty(0)))
    with torch.device(like.device):
        new = _built(place, graft, runtime)
        new = new if graft.mode == "replace" else Inserted(new, place.site.width)
    new.to(like.device, like.dtype).train(host.training)
    if graft.mode == "insert":
        return _put_behind(network, place.name, new)
    before, _, leaf = place.name.rpartition(".")
    network.get_submodule(before).register_module(leaf, new)
    return place.name


def _built(place: Place, graft: Graft, runtime: Runtime) -> nn.Module:
    site, kind = replace(place.site, runtime=runtime), type(graft.mixer).__name__
    try:
        new = graft.mixer.build(site)
    except GraftError as error:
        raise SurgeryError(f"{place.name!r} takes no {kind}: {error}") from error
    except Exception as error:  # the mixer may be anybody's
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise SurgeryError(f"{place.name!r} takes no {kind}, whose build raised {reason[:200]}") from error
    if not isinstance(new, nn.Module):
        raise SurgeryError(f"The build of {kind} gave a {type(new).__name__}, and a torch.nn.Module is wanted.")
    return new


def _put_behind(network: nn.Module, name: str, new: nn.Module) -> str:
    """Let what a module gives go through another one."""
    host = network.get_submodule(name)
    before, _, leaf = name.rpartition(".")
    around = network.get_submodule(before)
    if _runs_in_order(host):
        key = _free(host, CHILD)
        host.add_module(key, new)
        return f"{name}.{key}"
    if not isinstance(host, nn.Sequential | nn.ModuleDict | nn.ModuleList | _BatchNorm):
        key = _free(host, CHILD)
        host.add_module(key, new)
        host.register_forward_hook(partial(run_behind, key))
        return f"{name}.{key}"
    if not _runs_in_order(around):
        raise SurgeryError(
            f"{name!r} is a {type(host).__name__}, behind which nothing can be kept. Name the module around it, or one"
            " inside it."
        )
    key = _free(around, f"{leaf}_{CHILD}")
    children = list(around._modules.items())
    around._modules.clear()
    for each, module in children:
        around._modules[each] = module
        if each == leaf:
            around._modules[key] = new
    return f"{before}.{key}".removeprefix(".")


def run_behind(child: str, module: nn.Module, given: object, gave: Tensor) -> Tensor:
    """Run a child of a module on what the module gave: a forward hook, with the child's name in front."""
    del given
    behind: nn.Module = getattr(module, child)
    return behind(gave)


def _runs_in_order(module: nn.Module) -> bool:
    """Tell whether a module runs its children one after the other, and nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _free(module: nn.Module, name: str) -> str:
    """Give a name that a module has no attribute of yet."""
    names = (name, *(f"{name}{number}" for number in range(2, 100)))
    return next(each for each in names if not hasattr(module, each))
