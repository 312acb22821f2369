"""What others call the tensors of a network: complete maps that follow from a spec and a source's habits."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.site import Runtime, Site
from visiongraft.errors import WeightsError
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.spec import Backbone

Shape = tuple[int, ...]


def shape_of(tensor: Tensor) -> Shape:
    """Give the shape as a plain tuple."""
    return tuple(tensor.shape)


class Change(Protocol):
    """What has to be done to a foreign tensor so that it becomes ours."""

    def shape(self, ours: Shape) -> Shape:
        """Give the shape of the foreign tensor where ours has the shape `ours`; the same unless a change says more."""
        return ours

    def apply(self, tensor: Tensor, ours: Shape) -> Tensor:
        """Give our tensor, of the shape `ours`, from the foreign one."""
        ...


@dataclass(frozen=True)
class Changed:
    """A part that carries another name and other numbers, or the same in another order.

    Args:
        to: our name.
        by: what makes ours from theirs.
    """

    to: str
    by: Change


Theirs = str | tuple[str, ...]
"""The name of a foreign part, or of several of one shape that make one of ours, laid one behind the other in the first
axis: where they have queries, keys and values apart, ours has all three in one."""

Names = Mapping[Theirs, str | Changed]
"""Their name of a module or tensor: ours. What a module holds (weight, bias, running_mean) keeps its name.

Names of parts that a network lacks do no harm, so one table serves for a block with and without them. Where several of
theirs make one of ours, a change is what each of them undergoes.
"""


@dataclass(frozen=True)
class Layout:
    """How a source names the networks of a family.

    Args:
        stem: names of the stem's parts, ours as they are inside `network.stem`.
        block: the prefix of a block, from the number of its stage and its own in the stage, both counted from 0.
        words: for each word of the vocabulary that a stage may hold, the names of its parts at a site.
        head: names of the head's parts, ours as they are inside `network.head`.
        ignored: ends of the names of tensors that hold nothing learnt, such as an index: they may be there or not.
        others: further layouts that the source has for the same networks, each with other names for their parts.
    """

    stem: Callable[[Backbone], Names]
    block: Callable[[int, int], str]
    words: Mapping[type, Callable[[Any, Site], Names]]
    head: Callable[[Backbone], Names]
    ignored: frozenset[str] = field(default_factory=frozenset)
    others: tuple["Layout", ...] = ()

    @property
    def ways(self) -> tuple["Layout", ...]:
        """This and the others."""
        return (self, *self.others)

    def spoken_in(self, names: Collection[str], spec: Backbone) -> "Layout":
        """Give the one of this and the other layouts that knows the parts of most of the names."""
        return max(self.ways, key=lambda each: known(names, each.parts(spec))) if self.others else self

    def blocks(self, spec: Backbone) -> list[str]:
        """Give the prefixes of all blocks of a network."""
        counts = (len(each.blocks) for each in spec.stages)
        return [self.block(stage, index) for stage, count in enumerate(counts) for index in range(count)]

    def parts(self, spec: Backbone) -> frozenset[str]:
        """Give the names of all parts of a network, each once: modules and tensors. The network is not built."""
        return frozenset(each for part in self.names(spec) for each in (part if isinstance(part, tuple) else (part,)))

    def names(self, spec: Backbone) -> Names:
        """Give the names of all parts of a network.

        Raises:
            WeightsError: if a stage holds a word that the source has no names for.
        """
        found = {**under("", "stem", self.stem(spec)), **under("", "head", self.head(spec))}
        for stage, sites in enumerate(spec.sites(Runtime())):
            for index, (site, block) in enumerate(zip(sites, spec.stages[stage].blocks, strict=True)):
                table = self.words.get(type(block))
                if table is None:
                    known = ", ".join(word.__name__ for word in self.words)
                    raise WeightsError(
                        f"Block {index} of stage {stage} of {spec.name} is a {type(block).__name__}, which has no"
                        f" foreign names: such weights are for networks of {known}."
                    )
                found.update(under(self.block(stage, index), f"stages.{stage}.{index}", table(block, site)))
        return found


def places(name: str) -> Iterator[str]:
    """Give the modules that a tensor lies in, from the outermost, and its own name: "a", "a.b", "a.b.weight".

    Those that lie deeper than any part of a network at any source are not among them.
    """
    return accumulate(name.split(".", _DEEPEST)[:_DEEPEST], "{}.{}".format)


_DEEPEST = 12


def known(names: Iterable[str], parts: frozenset[str]) -> int:
    """Count the names of tensors that lie in one of the parts, or are one of them."""
    outermost = {part.partition(".")[0] for part in parts}  # which most of the names that are not known fail at
    return sum(name.partition(".")[0] in outermost and not parts.isdisjoint(places(name)) for name in names)


def under(theirs: str, ours: str, names: Names) -> dict[Theirs, str | Changed]:
    """Give the names of parts that lie inside modules called `theirs` and `ours`; an empty name adds nothing."""
    return {
        _inside(theirs, key): Changed(_join(ours, to.to), to.by) if isinstance(to, Changed) else _join(ours, to)
        for key, to in names.items()
    }


@dataclass(frozen=True)
class Wanted:
    """A tensor that a network needs.

    Args:
        ours: its name in our network.
        shape: its shape there; where several of theirs make one of ours, the shape of its share.
        foreign_shape: its shape at the source.
        change: what makes ours from theirs, or None where they are equal.
        tables: what it is part of, if it is a position table whose shape depends on the native grid.
    """

    ours: str
    shape: Shape
    foreign_shape: Shape
    change: Change | None
    tables: PositionTables | None = None

    def at(self, grid: Grid) -> "Wanted":
        """Give the same for another native grid, height and width in cells; only position tables change."""
        if self.tables is None:
            return self
        shape = self.tables.shapes(grid)[self.ours.rpartition(".")[2]]
        return replace(self, shape=shape, foreign_shape=shape if self.change is None else self.change.shape(shape))

    def fits(self, found: Shape) -> bool:
        """Tell whether a shape is the foreign one, but for axes of length 1.

        A linear layer may be stored as a convolution of 1x1 cells, and the one head of a layer may have no axis.
        """
        return _without_ones(found) == _without_ones(self.foreign_shape)

    def take(self, tensor: Tensor) -> Tensor:
        """Make our tensor of the foreign one: the same memory where nothing has to change, a copy elsewhere."""
        if self.change is None:
            return tensor.reshape(self.shape)
        return self.change.apply(tensor.reshape(self.foreign_shape), self.shape)


def wanted_tensors(spec: Backbone, layout: Layout) -> dict[str, Wanted]:
    """Give what a network needs from a source, by the source's names.

    Several that make one of ours follow one another, in the order in which they are joined.

    Raises:
        WeightsError: if a tensor of the network has no name at the source.
    """
    with torch.device("meta"):
        network = Network(spec)
    return wanted_by(network, layout.names(spec), called=spec.name)


def wanted_by(module: nn.Module, names: Names, *, called: str) -> dict[str, Wanted]:
    """Give what a module needs from a source that has these names for its parts; see `wanted_tensors`.

    Args:
        module: ours, perhaps on the meta device.
        names: their names of its parts.
        called: what to call it in an error.
    """
    ours = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    parts = {_ours(to): (theirs, to) for theirs, to in names.items()}
    wanted: dict[str, Wanted] = {}
    for name, shape in ours.items():
        part, rest = name, ""
        while part and part not in parts:
            part, _, last = part.rpartition(".")
            rest = _join(last, rest)
        if part not in parts:
            raise WeightsError(
                f"{name} of {called} has no name at the source: the networks differ in more than names."
            )
        theirs, to = parts[part]
        change = to.by if isinstance(to, Changed) else None
        each = theirs if isinstance(theirs, tuple) else (theirs,)
        share = (shape[0] // len(each), *shape[1:]) if len(each) > 1 else shape
        foreign_shape = share if change is None else change.shape(share)
        tables = _tables_of(module, name)
        wanted.update({_join(one, rest): Wanted(name, share, foreign_shape, change, tables) for one in each})
    return wanted


def _tables_of(module: nn.Module, name: str) -> PositionTables | None:
    """Give the module that a position table is part of; None for a tensor that is the same at every grid."""
    inside, _, key = name.rpartition(".")
    part = module.get_submodule(inside)
    return part if isinstance(part, PositionTables) and key in part.shapes(part.grid) else None


def joined(shares: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Make our tensors of their shares, each given with our name: a tensor that is its only share stays what it is."""
    found: dict[str, list[Tensor]] = {}
    for name, share in shares:
        found.setdefault(name, []).append(share)
    return {name: each[0] if len(each) == 1 else torch.cat(each) for name, each in found.items()}


@dataclass(frozen=True)
class HeadsOutermost(Change):
    """Rows of queries, keys and values that lie head by head, each head's three together; ours lie kind by kind.

    Args:
        head_dim: channels of one head.
    """

    head_dim: int

    def apply(self, tensor: Tensor, ours: Shape) -> Tensor:
        """See `Change`."""
        return tensor.unflatten(0, (-1, 3, self.head_dim)).transpose(0, 1).reshape(ours)


@dataclass(frozen=True)
class OffsetsInRows(Change):
    """A table of plane offsets with a row for each offset, line by line, and a column for each head."""

    def shape(self, ours: Shape) -> Shape:
        """See `Change`."""
        heads, rows, columns = ours
        return (rows * columns, heads)

    def apply(self, tensor: Tensor, ours: Shape) -> Tensor:
        """See `Change`."""
        return tensor.t().reshape(ours)


@dataclass(frozen=True)
class LineOfHeads(Change):
    """Vectors of the places along one axis as a line of cells, head by head; ours lie place by place.

    Args:
        heads: into how many heads the channels fall.
        axis: which axis of the map the line follows: down its "rows" or along its "columns".
    """

    heads: int
    axis: Literal["rows", "columns"]

    def shape(self, ours: Shape) -> Shape:
        """See `Change`."""
        length, channels = ours
        line = (length, 1) if self.axis == "rows" else (1, length)
        return (1, self.heads, channels // self.heads, *line)

    def apply(self, tensor: Tensor, ours: Shape) -> Tensor:
        """See `Change`."""
        length, channels = ours
        return tensor.reshape(channels, length).t().contiguous()


@dataclass(frozen=True)
class OfUnscaledQueries(Change):
    """Vectors that meet queries as they are; ours meet queries that were divided by the root of their channels."""

    def apply(self, tensor: Tensor, ours: Shape) -> Tensor:
        """See `Change`."""
        return tensor * ours[-1] ** 0.5


def _ours(to: str | Changed) -> str:
    return to.to if isinstance(to, Changed) else to


def _inside(module: str, part: Theirs) -> Theirs:
    return tuple(_join(module, each) for each in part) if isinstance(part, tuple) else _join(module, part)


def _join(first: str, second: str) -> str:
    return f"{first}.{second}" if first and second else first or second


def _without_ones(shape: Shape) -> Shape:
    return tuple(length for length in shape if length != 1)
