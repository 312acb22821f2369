"""Which network foreign weights look like, found without building those that they cannot be of."""

from collections.abc import Collection, Mapping

from torch import Tensor

from visiongraft.families.zoo import get_spec
from visiongraft.network import CLASSIFIER
from visiongraft.spec import Backbone
from visiongraft.weights.faults import faults_of, learnt
from visiongraft.weights.renaming import Layout, Wanted, places, wanted_tensors


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
    best, found = below, list[str]()
    spoken = {name: layout.spoken_in(tensors.keys(), get_spec(name)) for name, layout in layouts.items()}
    least = {name: _least_faults(tensors.keys(), get_spec(name), layout) for name, layout in spoken.items()}
    for name in sorted(layouts, key=lambda each: least[each]):
        if least[name] > best or least[name] >= below:
            break
        count = _count(tensors, wanted_tensors(get_spec(name), spoken[name]), spoken[name])
        if count < best:
            best, found = count, [name]
        elif count == best and found:
            found.append(name)
    return sorted(found, key=list(layouts).index)


def _least_faults(names: Collection[str], spec: Backbone, layout: Layout) -> int:
    """Count what the names alone tell to be at fault: tensors of no part of the network, and blocks without one."""
    kept = [name for name in names if name.rpartition(".")[2] not in layout.ignored]
    there = {place for name in kept for place in places(name)}
    blocks = (
        layout.block(stage, index) for stage, each in enumerate(spec.stages) for index in range(len(each.blocks))
    )
    return len(kept) - layout.known(kept, spec) + sum(block not in there for block in blocks)


def _count(tensors: Mapping[str, Tensor], wanted: Mapping[str, Wanted], layout: Layout) -> int:
    faults = faults_of(learnt(tensors, wanted, layout), wanted)
    misshapen = (wanted[name] for name in faults.misshapen)
    return faults.count - sum(each.ours.startswith(CLASSIFIER) or each.tables is not None for each in misshapen)
