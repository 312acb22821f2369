"""What keeps foreign weights from being those of a network: the tensors that count, and how they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from visiongraft.errors import WeightsError
from visiongraft.network import CLASSIFIER
from visiongraft.spec import Backbone
from visiongraft.weights.prefixes import wrapper_of
from visiongraft.weights.renaming import Layout, Wanted, shape_of, wanted_tensors


@dataclass(frozen=True)
class Faults:
    """By their foreign names: tensors that are wanted and not there, there and not wanted, or of another shape."""

    missing: tuple[str, ...]
    left: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many tensors are at fault."""
        return len(self.missing) + len(self.left) + len(self.misshapen)

    def in_words(self, found: Mapping[str, Tensor], wanted: Mapping[str, Wanted]) -> str:
        """Say which they are, the first of each kind by name."""
        parts = []
        if self.missing:
            parts.append(f"{_listed(self.missing)} missing")
        if self.left:
            parts.append(f"{_listed(self.left)} left over")
        for name in self.misshapen[:1]:
            of = f" (the first of {len(self.misshapen)} such)" if len(self.misshapen) > 1 else ""
            parts.append(f"{name!r} has the shape {shape_of(found[name])} instead of {wanted[name].foreign_shape}{of}")
        return "; ".join(parts)


def faults_of(found: Mapping[str, Tensor], wanted: Mapping[str, Wanted]) -> Faults:
    """Compare tensors with what a network needs, both by the source's names."""
    return Faults(
        missing=tuple(name for name in wanted if name not in found),
        left=tuple(name for name in found if name not in wanted),
        misshapen=tuple(name for name in wanted if name in found and not wanted[name].fits(shape_of(found[name]))),
    )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Foreign weights beside a network of the zoo that they may be of. The network is built when that is asked for.

    Args:
        spec: the network.
        layout: how the tensors would name its parts.
        tensors: those that hold something learnt, by the source's names.
        prefix: what a wrapper had put before every name, such as "model.", and these names lack.
    """

    spec: Backbone
    layout: Layout
    tensors: dict[str, Tensor]
    prefix: str

    @staticmethod
    def of(state_dict: Mapping[str, Tensor], spec: Backbone, layout: Layout) -> "Comparison":
        """Lay tensors, once they are `checked`, beside a network, as the way of naming it does that knows the most."""
        names = [name for name in state_dict if name.rpartition(".")[2] != _COUNTER]
        prefix = wrapper_of(names, layout, spec)
        bare = {name.removeprefix(prefix): state_dict[name] for name in names}
        layout = layout.spoken_in(bare.keys(), spec)
        kept = {name: each for name, each in bare.items() if name.rpartition(".")[2] not in layout.ignored}
        return Comparison(spec, layout, kept, prefix)

    @cached_property
    def wanted(self) -> dict[str, Wanted]:
        """What the network needs, by the source's names.

        Raises:
            WeightsError: if a tensor of the network has no name at the source.
        """
        return wanted_tensors(self.spec, self.layout)

    @cached_property
    def found(self) -> dict[str, Tensor]:
        """The tensors, and counters of batches also for files that lack them."""
        return {**counters(self.tensors, self.wanted), **self.tensors}

    @cached_property
    def faults(self) -> Faults:
        """How they differ."""
        return faults_of(self.found, self.wanted)

    @property
    def torn_head(self) -> str:
        """What is wrong with a classifier whose weight and bias are of other numbers of classes; empty for others."""
        ends = [name for name, each in self.wanted.items() if each.ours.startswith(CLASSIFIER) and name in self.found]
        if len({shape_of(self.found[name])[:1] for name in ends}) < 2:
            return ""
        said = " and ".join(f"{name!r} has the shape {shape_of(self.found[name])}" for name in ends)
        return f"{said}, which are two numbers of classes. Take both from one training."


_COUNTER = "n_averaged"
"""What PyTorch's AveragedModel counts its updates in, beside the weights."""


_DEEP = 64  # far more than networks have; what is searched for in names takes time that grows with it


def checked(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Give the same, once it is known to hold tensors alone.

    Raises:
        WeightsError: if it is none, or one of its values is no tensor.
    """
    if not isinstance(state_dict, Mapping):
        remedy = "For a file, use `graft convert`, or create_model(weights=FILE)."
        if isinstance(state_dict, nn.Module):
            remedy = "Give its state_dict()."
        raise WeightsError(
            f"A state dict holds tensors by name, and this is of type {type(state_dict).__name__}. {remedy}"
        )
    for name, each in state_dict.items():
        if not isinstance(name, str):
            raise WeightsError(
                f"A state dict holds tensors by name, and {name!r} is none. Give the state_dict() itself."
            )
        if name.count(".") >= _DEEP:
            raise WeightsError(
                f"A state dict holds tensors by name, and {name[:40]!r}... names {name.count('.') + 1} modules one in"
                f" the other, where {_DEEP} at the most were expected. Give the state_dict() of a network."
            )
        if isinstance(each, np.ndarray):
            raise WeightsError(
                f"A state dict holds tensors by name, and {name!r} is a NumPy array. Give"
                " {name: torch.as_tensor(each) for name, each in STATE_DICT.items()}."
            )
        if not isinstance(each, Tensor):
            raise WeightsError(
                f"A state dict holds tensors by name, and {name!r} is of type {type(each).__name__}."
                " If this is a checkpoint with more than weights in it, give the dict of tensors inside."
            )
    return state_dict


def counters(state_dict: Mapping[str, Tensor], wanted: Mapping[str, Wanted]) -> dict[str, Tensor]:
    """Give a zero for each batch normalisation's counter: older files lack them, and PyTorch starts them at 0 too."""
    ends = ((name, name.rpartition(".")) for name in wanted)
    return {
        name: torch.zeros((), dtype=torch.int64)
        for name, (norm, _, last) in ends
        if last == "num_batches_tracked" and f"{norm}.running_mean" in state_dict
    }


def _listed(names: tuple[str, ...]) -> str:
    """Say which tensors, as the start of a sentence that goes on with what they are."""
    return f"{names[0]!r} is" if len(names) == 1 else f"{len(names)} tensors, such as {names[0]!r}, are"
