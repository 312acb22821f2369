"""A network run once on the side: which shapes its modules see, and how much it multiplies."""

import copy
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from visiongraft.errors import GraftError, SurgeryError

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]

AXES_OF_MAPS = 4
"""Batch, channels, height and width: of images as well."""

AXES_OF_LOGITS = 2
"""Batch and classes."""

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Call:
    """What a module was given first, and what it gave: shapes, () for what is no tensor."""

    given: Shape
    gave: Shape


class Stopped(SurgeryError):
    """A pass that came to no end, and the calls until then."""

    def __init__(self, reason: str, calls: Mapping[str, list[Call]]) -> None:
        super().__init__(reason)
        self.calls = calls


@dataclass(frozen=True)
class Pass:
    """What one pass through a network showed.

    Args:
        result: what the network gave, each tensor as its shape.
        calls: of each module that was watched.
        macs: multiply-adds of convolutions, linear layers and the products inside attention, if they were counted.
        macs_by_name: the same inside each module.
    """

    result: object
    calls: Mapping[str, list[Call]]
    macs: int
    macs_by_name: Mapping[str, int] = field(default_factory=dict)

    def macs_of(self, name: str) -> int:
        """Give the multiply-adds inside one module."""
        return self.macs_by_name.get(name, 0)


@dataclass(frozen=True)
class Stage:
    """A copy of a network on which everything may be tried, and what it is shown.

    Args:
        network: in eval mode; on the meta device it has no numbers.
        shown: its arguments.
    """

    network: nn.Module
    shown: tuple[object, ...] = field(repr=False)

    def watch(self, names: Iterable[str] = (), *, counting: bool = False) -> Pass:
        """Run the network once, and watch the modules of these names.

        Args:
            names: of the modules.
            counting: also count multiply-adds, which takes longer.

        Raises:
            Stopped: if it fails, with the reason.
        """
        calls: dict[str, list[Call]] = {name: [] for name in names}
        counter = _counter() if counting else None
        with ExitStack() as hooks:
            for name, found in calls.items():
                handle = self.network.get_submodule(name).register_forward_hook(partial(_note, found))
                hooks.callback(handle.remove)
            try:
                with torch.no_grad(), counter or nullcontext():
                    result = self.network(*self.shown)
            except GraftError:
                raise
            except Exception as error:  # the network is of others, and may raise anything
                raise Stopped(_in_one_line(error), calls) from error
        if counter is None:
            return Pass(tree_map(_shape, result), calls, 0)
        parts = {name.partition(".")[2]: sum(each.values()) // 2 for name, each in counter.get_flop_counts().items()}
        return Pass(tree_map(_shape, result), calls, counter.get_total_flops() // 2, parts)


def _counter() -> "FlopCounterMode":
    from torch.utils.flop_counter import FlopCounterMode  # brings Triton along, which not everybody has to wait for

    return FlopCounterMode(display=False)


def on_meta(network: nn.Module, shown: tuple[object, ...]) -> Stage:
    """Make a stage without numbers: however large a network is, it takes no memory and no arithmetic."""
    memo: dict[int, object] = {}
    for each in chain(network.parameters(), network.buffers()):
        empty = torch.empty_like(each, device="meta")
        memo[id(each)] = nn.Parameter(empty, each.requires_grad) if isinstance(each, nn.Parameter) else empty
    return Stage(_copied(network, memo).eval(), tree_map(_to_meta, shown))


def in_full(network: nn.Module, shown: tuple[object, ...]) -> Stage:
    """Make a stage with all numbers."""
    return Stage(_copied(network, {}).eval(), shown)


def copied(network: Net) -> Net:
    """Copy a network, with a line of words where it refuses."""
    return _copied(network, {})


def _copied(network: Net, memo: dict[int, object]) -> Net:
    try:
        return copy.deepcopy(network, memo)
    except Exception as error:  # whatever it holds says no in its own way
        raise SurgeryError(f"This {type(network).__name__} cannot be copied: {_in_one_line(error)}") from error


def _note(found: list[Call], module: nn.Module, given: tuple[object, ...], gave: object) -> None:
    del module
    found.append(Call(_shape_or_nothing(given[0] if given else None), _shape_or_nothing(gave)))


def _shape_or_nothing(value: object) -> Shape:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _shape(value: object) -> object:
    return tuple(value.shape) if isinstance(value, Tensor) else value


def _to_meta(value: object) -> object:
    return value.to("meta") if isinstance(value, Tensor) else value


def _in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
