"""Which network foreign weights look like, found without building those that they cannot be of."""

from collections.abc import Mapping
from operator import itemgetter

from torch import Tensor

from visiongraft.families.zoo import get_spec
from visiongraft.network import CLASSIFIER
from visiongraft.weights.faults import Comparison
from visiongraft.weights.prefixes import IN_A_BLOCK
from visiongraft.weights.renaming import Layout, known, places


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
    candidates = [Comparison.of(tensors, get_spec(name), layout) for name, layout in layouts.items()]
    best, found = below, list[str]()
    for least, each in sorted(((_least(each), each) for each in candidates), key=itemgetter(0)):
        if least > best or least >= below:
            break
        count = _count(each)
        if count < best:
            best, found = count, [each.spec.name]
        elif count == best and found:
            found.append(each.spec.name)
    return sorted(found, key=list(layouts).index)


def _least(compared: Comparison) -> int:
    """Count the faults that names alone tell: tensors of no part of the network, and those of missing blocks."""
    spec, layout, names = compared.spec, compared.layout, compared.tensors.keys()
    there = {place for name in names for place in places(name)}
    left = len(names) - known(names, layout.parts(spec))
    return left + IN_A_BLOCK * sum(block not in there for block in layout.blocks(spec))


def _count(compared: Comparison) -> int:
    """Count all faults but the shapes that follow from the classes and the image size."""
    misshapen = (compared.wanted[name] for name in compared.faults.misshapen)
    return compared.faults.count - sum(
        each.ours.startswith(CLASSIFIER) or each.tables is not None for each in misshapen
    )
