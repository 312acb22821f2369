"""Which network foreign weights look like, found without building those that they cannot be of."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from visiongraft.families.zoo import get_spec
from visiongraft.network import CLASSIFIER
from visiongraft.spec import Backbone
from visiongraft.weights.faults import faults_of, learnt
from visiongraft.weights.prefixes import IN_A_BLOCK, wrapper_of
from visiongraft.weights.renaming import Layout, known, places, wanted_tensors


def resembling(tensors: Mapping[str, Tensor], layouts: Mapping[str, Layout], *, below: float) -> list[str]:
    """Give the networks of a source that weights fit best, if they fit any well.

    The number of classes and the image size do not count: fine-tuned weights are found as well. Names of parts follow
    from a spec alone, and tell for most networks how many tensors would be at fault at the least. Only the others are
    built, without numbers, as long as one may be among the best.

    Args:
        tensors: by the source's names.
        layouts: how the source names each network.
        below: a network with so many faults, or more, is none that the weights look like.
    """
    candidates = sorted(
        (_Candidate.of(tensors, get_spec(name), layout) for name, layout in layouts.items()),
        key=lambda each: each.least,
    )
    best, found = below, list[str]()
    for each in candidates:
        if each.least > best or each.least >= below:
            break
        count = each.count()
        if count < best:
            best, found = count, [each.spec.name]
        elif count == best and found:
            found.append(each.spec.name)
    return sorted(found, key=list(layouts).index)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A network that tensors may be of.

    Args:
        spec: the network.
        layout: how the tensors would name it.
        tensors: by these names.
        least: how many faults the names alone tell: tensors of no part of the network, and those of missing blocks.
    """

    spec: Backbone
    layout: Layout
    tensors: Mapping[str, Tensor]
    least: int

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], spec: Backbone, layout: Layout) -> "_Candidate":
        prefix = wrapper_of(tensors.keys(), layout, spec)
        tensors = {name.removeprefix(prefix): each for name, each in tensors.items()}
        layout = layout.spoken_in(tensors.keys(), spec)
        kept = [name for name in tensors if name.rpartition(".")[2] not in layout.ignored]
        there = {place for name in kept for place in places(name)}
        left = len(kept) - known(kept, layout.parts(spec))
        return cls(spec, layout, tensors, left + IN_A_BLOCK * sum(block not in there for block in layout.blocks(spec)))

    def count(self) -> int:
        """Build the network without numbers, and count all faults."""
        wanted = wanted_tensors(self.spec, self.layout)
        faults = faults_of(learnt(self.tensors, wanted, self.layout), wanted)
        misshapen = (wanted[name] for name in faults.misshapen)
        return faults.count - sum(each.ours.startswith(CLASSIFIER) or each.tables is not None for each in misshapen)
