"""What keeps foreign weights from being those of a network: the tensors that count, and how they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from visiongraft.errors import WeightsError
from visiongraft.spec import Backbone
from visiongraft.weights.renaming import Layout, Shape, Wanted, wanted_tensors


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
    """Foreign weights beside a network of the zoo that they may be of.

    Args:
        spec: the network.
        layout: how the source names its parts.
        wanted: what it needs, by the source's names.
        found: the tensors that count, by these names.
        prefix: what a wrapper had put before every name, such as "model.", and these names lack.
    """

    spec: Backbone
    layout: Layout
    wanted: dict[str, Wanted]
    found: Mapping[str, Tensor]
    prefix: str = ""

    @staticmethod
    def of(tensors: Mapping[str, Tensor], spec: Backbone, layout: Layout, *, prefix: str = "") -> "Comparison":
        """Compare tensors, by the source's names, with a network.

        Raises:
            WeightsError: if one of the values is no tensor, or a tensor of the network has no name at the source.
        """
        wanted = wanted_tensors(spec, layout)
        return Comparison(spec, layout, wanted, learnt(tensors, wanted, layout), prefix)

    @cached_property
    def faults(self) -> Faults:
        """How they differ."""
        return faults_of(self.found, self.wanted)


def learnt(state_dict: Mapping[str, Tensor], wanted: Mapping[str, Wanted], layout: Layout) -> dict[str, Tensor]:
    """Give the tensors that count: not what holds nothing learnt, and counters also for files that lack them.

    Raises:
        WeightsError: if one of the values is no tensor.
    """
    found = checked(state_dict).items()
    kept = {name: each for name, each in found if name.rpartition(".")[2] not in layout.ignored}
    return {**counters(state_dict, wanted), **kept}


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


def shape_of(tensor: Tensor) -> Shape:
    """Give the shape as a plain tuple."""
    return tuple(tensor.shape)


def _listed(names: tuple[str, ...]) -> str:
    """Say which tensors, as the start of a sentence that goes on with what they are."""
    return f"{names[0]!r} is" if len(names) == 1 else f"{len(names)} tensors, such as {names[0]!r}, are"
