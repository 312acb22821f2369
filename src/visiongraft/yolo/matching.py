"""Which layer of one model is which of another, where layers were put in, taken out or exchanged between them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import Tensor

_KEY = re.compile(r"(?:(?:model|module|_orig_mod)\.)*(\d+)\.(.+)")
"""A tensor of a YOLO model: the number of its layer, and its name in there."""

Layer = dict[str, str]
"""The tensors of one layer: for the name inside it, the whole name."""


@dataclass(frozen=True)
class Match:
    """Which tensors of two models belong together.

    Args:
        kept: for each tensor of the new model that has one, the name of the old model's.
        new: tensors of the new model that have none.
        left: tensors of the old model that nobody takes.
    """

    kept: dict[str, str]
    new: tuple[str, ...]
    left: tuple[str, ...]


def match(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Match:
    """Match tensors by their names inside their layers, and by shape.

    Layers are paired in their order, so that as many numbers as can be are kept; how they are numbered does not count.
    A pair need not share everything: a head for other classes keeps all but its last convolutions.

    Args:
        wanted: the state of the new model.
        given: that of the old one.
    """
    new, old = _layers(wanted), _layers(given)
    shared = [[_shared(each, other, wanted, given) for other in old] for each in new]
    worth = [[sum(prod(wanted[key].shape) for key in pair) for pair in row] for row in shared]
    found = {key: name for at, other in _pairs(worth) for key, name in shared[at][other].items()}
    taken = set(found.values())
    return Match(
        kept={key: found[key] for key in wanted if key in found},
        new=tuple(key for key in wanted if key not in found),
        left=tuple(key for key in given if key not in taken),
    )


def layer_of(key: str) -> int | None:
    """Give the number of the layer that a tensor is of, None where its name has none."""
    found = _KEY.fullmatch(key)
    return None if found is None else int(found[1])


def _layers(state: Mapping[str, Tensor]) -> list[Layer]:
    """Sort the tensors of a model by their layers, in the order of these."""
    layers: dict[int, Layer] = {}
    for key in state:
        if found := _KEY.fullmatch(key):
            layers.setdefault(int(found[1]), {})[found[2]] = key
    return [layers[number] for number in sorted(layers)]


def _shared(new: Layer, old: Layer, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Give what a layer could take from another one: tensors of the same name inside it and the same shape."""
    return {key: old[name] for name, key in new.items() if name in old and wanted[key].shape == given[old[name]].shape}


def _pairs(worth: list[list[int]]) -> list[tuple[int, int]]:
    """Pair rows with columns in their order, so that the sum is the largest; of equal ones, each row takes the first.

    >>> _pairs([[3, 0, 0], [0, 0, 5]])
    [(0, 0), (1, 2)]
    """
    rows, columns = len(worth), len(worth[0]) if worth else 0
    best = [[0] * (columns + 1) for _ in range(rows + 1)]  # of the rows and columns from here on
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            taken = worth[row][column] + best[row + 1][column + 1]
            best[row][column] = max(taken, best[row + 1][column], best[row][column + 1])
    pairs, row, column = [], 0, 0
    while row < rows and column < columns:
        if worth[row][column] and best[row][column] == worth[row][column] + best[row + 1][column + 1]:
            pairs.append((row, column))
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs
