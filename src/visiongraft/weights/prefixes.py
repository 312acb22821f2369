"""Foreign names that lie inside something: a wrapper around a network, or a network around a part of it."""

import os.path
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import cache
from itertools import accumulate

from torch import Tensor

from visiongraft.families.zoo import get_spec
from visiongraft.spec import Backbone
from visiongraft.weights.renaming import Layout, Wanted, known, places, shape_of, wanted_tensors


def wrapper_of(names: Collection[str], layout: Layout, spec: Backbone) -> str:
    """Give what a wrapper put before every name, such as "model."; empty where the names are the source's own.

    It is what all names begin with, up to a dot, and as little of it as makes the source know nearly all of them and
    find a tensor in every block: where its own names begin with "0.", those inside a wrapper "0." are known as well.
    """
    prefixes = _shared(names)
    if len(prefixes) == 1:
        return ""
    parts = _parts(layout, spec)
    known_in = {each: _known([name[len(each) :] for name in names], parts) for each in prefixes}
    most = max(known_in.values())
    equal = [each for each, count in known_in.items() if count == most]
    inside = ([name[len(each) :] for name in names] for each in equal)
    best = next((each for each, own in zip(equal, inside, strict=True) if _in_blocks(own, layout, spec)), equal[0])
    return best if known_in[best] > _NEARLY * len(names) else ""


def place_of(names: Collection[str], layout: Layout, spec: Backbone) -> str:
    """Give the module that seems to be the network, where others lie beside it; empty where none seems to be.

    Nearly all of its names are known once it is taken off, and it has a tensor in every block.
    """
    parts = _parts(layout, spec)
    around = Counter(place for name in names for place in list(places(name))[:-1])
    for place, count in around.most_common():
        if count < spec.depth:
            break
        inside = [name[len(place) + 1 :] for name in names if name.startswith(f"{place}.")]
        if _known(inside, parts) > _NEARLY * count and _in_blocks(inside, layout, spec):
            return place
    return ""


def part_of(tensors: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> tuple[str, str, str] | None:
    """Give a network, the name of a block or a stage of it, and what the names of that have before them here.

    These tensors are that part by their names and shapes. The shapes of position tables do not count, since they
    follow from the image size.
    """

    @cache
    def wanted(network: str, way: int) -> dict[str, Wanted]:
        return wanted_tensors(get_spec(network), layouts[network].ways[way])

    for prefix in _shared(tensors) if len(tensors) >= IN_A_BLOCK else ():
        part = _part_of({name.removeprefix(prefix): each for name, each in tensors.items()}, layouts, wanted)
        if part:
            return *part, prefix
    return None


def _part_of(
    tensors: Mapping[str, Tensor], layouts: Mapping[str, Layout], wanted: Callable[[str, int], dict[str, Wanted]]
) -> tuple[str, str] | None:
    first = next(iter(tensors))
    for network, layout in layouts.items():
        spec = get_spec(network)
        for way, each in enumerate(layout.ways):
            parts = each.parts(spec)
            around = dict.fromkeys(place for block in each.blocks(spec) for place in places(block))
            may_be = [place for place in around if known([f"{place}.{first}"], parts)]
            named = {place: [f"{place}.{name}" for name in tensors] for place in may_be}
            may_be = [place for place, names in named.items() if known(names, parts) == len(names)]
            for place in sorted(may_be, key=len):
                if _is_whole(tensors, place, wanted(network, way)):
                    return network, place
    return None


IN_A_BLOCK = 8
"""A block has at least so many tensors."""

_WRAPPERS = 8  # as many as lie around a network, one in the other

_NEARLY = 0.9  # a head for another task may be inside as well


def _shared(names: Collection[str]) -> list[str]:
    """Give what all names begin with, up to each of its first dots: first nothing, then "model.", "model.net."."""
    shared = os.path.commonprefix([name.split(".", _WRAPPERS)[:-1] for name in names])
    return ["", *(f"{each}." for each in accumulate(shared, "{}.{}".format))]


def _parts(layout: Layout, spec: Backbone) -> list[frozenset[str]]:
    return [each.parts(spec) for each in layout.ways]


def _known(names: Collection[str], ways: Collection[frozenset[str]]) -> int:
    """Count the names that lie in parts of a network, in the way of naming them that knows the most."""
    return max(known(names, parts) for parts in ways)


def _in_blocks(names: Collection[str], layout: Layout, spec: Backbone) -> bool:
    """Tell whether there is a name in every block of a network, in one of the ways of naming them."""
    there = {each for name in names for each in places(name)}
    return any(there.issuperset(each.blocks(spec)) for each in layout.ways)


def _is_whole(tensors: Mapping[str, Tensor], place: str, wanted: Mapping[str, Wanted]) -> bool:
    """Tell whether these are all tensors that a network has in one place, each of its shape."""
    inside = {name.removeprefix(f"{place}."): each for name, each in wanted.items() if name.startswith(f"{place}.")}
    return inside.keys() == tensors.keys() and all(
        each.tables is not None or each.fits(shape_of(tensors[name])) for name, each in inside.items()
    )
