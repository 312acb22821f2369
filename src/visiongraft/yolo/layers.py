"""A mixer of ours as one layer of a YOLO model, and how a model file names it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from visiongraft.blocks.site import Block, Site
from visiongraft.errors import GraftError, SpecError, nearest
from visiongraft.kernels.types import Grid
from visiongraft.surgery.planting import Inserted
from visiongraft.vocabulary import check_choices, decode, registered, spelt


class MixerLayer(nn.Module):
    """maps + scale * mixer(norm(maps)), with a scale of 0 for each channel: at first it gives what it was given.

    Checkpoints of Ultralytics hold this class by its name, `visiongraft.yolo.layers.MixerLayer`, and its parts by
    theirs.

    Args:
        mixer: what is built, a word of the vocabulary.
        width: channels that come in, and go out.
        grid: height and width in cells that position tables are stored for; any other works.
    """

    def __init__(self, mixer: Block, width: int, grid: Grid) -> None:
        super().__init__()
        self.spelt = spelt(mixer)
        self.inserted = Inserted(mixer.build(Site(width, width, 1, grid)), width)

    def forward(self, maps: Tensor) -> Tensor:
        """Give maps of the same shape, (b, width, h, w)."""
        return self.inserted(maps)

    def extra_repr(self) -> str:
        """Say which mixer it is."""
        return self.spelt


@dataclass(frozen=True)
class Row:
    """One row of a model file that names a mixer of ours.

    Args:
        index: of the row, counted through backbone and head.
        source: the index of the layer whose maps it takes; -1 for the one before.
        mixer: what it builds.
    """

    index: int
    source: int
    mixer: Block


def read_row(index: int, row: Sequence[object], known: Iterable[str]) -> Row | None:
    """Read a row, [from, repeats, name, arguments], if it names a mixer of ours.

    Args:
        index: of the row.
        row: as the model file has it.
        known: the names that Ultralytics has; these are its own.

    Returns:
        What it says; None for a layer of Ultralytics or PyTorch.

    Raises:
        SpecError: if nobody has a layer of that name, or its arguments cannot be.
    """
    name = row[_NAME] if isinstance(row, list | tuple) and len(row) > _NAME else None
    known = set(known)
    if not isinstance(name, str) or name in known or name.startswith(("nn.", "torchvision.ops.")):
        return None
    where = f"Row {index} of the model file"
    if len(row) != _ENTRIES:
        raise SpecError(
            f"{where} has {len(row)} entries. A row is [from, repeats, name, arguments], as [-1, 1, {name}, []]."
        )
    source, arguments = row[0], row[-1]
    word = mixers().get(name)
    if word is None:
        raise SpecError(
            f"{where} names the layer {name!r}, which neither Ultralytics nor visiongraft has."
            f"{nearest(name, [*mixers(), *known])} Mixers of visiongraft are {', '.join(sorted(mixers()))}."
        )
    if not isinstance(source, int):
        raise SpecError(f"{where}: {name} takes the maps of one layer, not of {source!r}.")
    return Row(index, source, read_mixer(name, arguments, where=where))


_NAME, _ENTRIES = 2, 4


def read_mixer(name: str, arguments: object, *, where: str) -> Block:
    """Make a mixer from its name and its arguments, by name as {heads: 4} or [{heads: 4}], or in order as [4].

    Raises:
        SpecError: if its arguments cannot be.
    """
    word = mixers()[name]
    order = [each.name for each in fields(word)]
    given = arguments if isinstance(arguments, list) else [arguments]
    if len(given) == 1 and isinstance(given[0], Mapping):
        named: dict[str, object] = {str(key): each for key, each in given[0].items()}
    elif len(given) <= len(order):
        named = dict(zip(order, given, strict=False))
    else:
        raise SpecError(f"{where}: {name} takes {', '.join(order)}, and {len(given)} arguments came.")
    if odd := [each for each in named if each not in order]:
        raise SpecError(f"{where}: {name} takes no {odd[0]!r}.{nearest(odd[0], order)} It takes {', '.join(order)}.")
    try:
        mixer = decode({"kind": name, **named})
        check_choices(mixer)
    except GraftError as error:
        raise SpecError(f"{where}: {error}") from None
    assert isinstance(mixer, Block)
    return mixer


def check_row(row: Row, width: int, grid: Grid) -> None:
    """See that a mixer can be built at its place, before Ultralytics does it and says less.

    Raises:
        SpecError: if it cannot.
    """
    try:
        with torch.device("meta"):  # no random numbers are drawn
            MixerLayer(row.mixer, width, grid)
    except GraftError as error:
        raise SpecError(
            f"Row {row.index} of the model file: {error} The width follows from the layers before, and is no argument."
        ) from None


def mixers() -> dict[str, type]:
    """Give, by name, every word of the vocabulary that builds a module for a place in a network."""
    return {name: word for name, word in registered().items() if callable(getattr(word, "build", None))}
