"""Learnt positions: stored for one grid, or computed from offsets, and used at any grid."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from visiongraft.blocks.primitives import start_normal
from visiongraft.kernels.relative import (
    axis_vectors,
    log_offsets,
    plane_bias,
    resize_axis_table,
    resize_cell_table,
    resize_plane_table,
)
from visiongraft.kernels.types import Grid


class PositionTables(nn.Module):
    """Tables for a native grid, looked up for the grid at hand.

    What is looked up is kept while nothing can change it, that is in eval mode without gradients, and made anew
    otherwise, so that it is differentiable.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self._kept: dict[object, tuple[tuple[Tensor, ...], list[Tensor]]] = {}

    def forward(self, grid: Grid) -> tuple[Tensor, ...]:
        """Give the tensors that attention takes for `grid`, height and width in cells."""
        if self.training or torch.is_grad_enabled() or _is_recorded():
            return self._look_up(grid)
        tables = list(self.parameters())
        if any(each.is_inference() for each in tables):  # they do not count their changes
            return self._look_up(grid)
        key = (grid, *((each.data_ptr(), each._version, each.dtype) for each in tables))
        if key in self._kept:
            return self._kept[key][0]
        found = self._look_up(grid)
        others = [each for kept, _ in self._kept.values() for each in kept]
        if len(self._kept) >= _KEPT_GRIDS or _count(*found, *others) > _KEPT_NUMBERS:
            self._kept.clear()
        if _count(*found) <= _KEPT_NUMBERS:
            # The tables are kept as well: while they live, nothing else can come to their address.
            self._kept[key] = (found, [each.detach() for each in tables])
        return found

    def train(self, mode: bool = True) -> "PositionTables":  # noqa: FBT001, FBT002 - torch's own signature
        self._kept.clear()
        return super().train(mode)

    def resized(self, grid: Grid) -> dict[str, Tensor]:
        """Give the parameters, by name, as they are for another native grid."""
        raise NotImplementedError

    def shapes(self, grid: Grid) -> dict[str, tuple[int, ...]]:
        """Give the shapes, by name, of the parameters that depend on the native grid, as they are for another one."""
        return {name: tuple(each.shape) for name, each in self.resized(grid).items()}

    def adopt(self, grid: Grid) -> None:
        """Store the tables for another native grid from now on, resampled."""
        with torch.no_grad():
            for name, table in self.resized(grid).items():
                learns = getattr(self, name).requires_grad
                setattr(self, name, nn.Parameter(table.clone(), requires_grad=learns))
        self.grid = grid
        self._kept.clear()

    def _look_up(self, grid: Grid) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _is_native(self, grid: Grid) -> bool:
        # While a graph is recorded the grid may be symbolic: comparing it would fix the size.
        return not _is_recorded() and grid == self.grid

    def __getstate__(self) -> dict[str, object]:
        """Give all but what was looked up: its keys are addresses, which mean nothing in a copy."""
        return {**self.__dict__, "_kept": {}}

    def extra_repr(self) -> str:
        return f"grid={self.grid[0]}x{self.grid[1]}"


def _is_recorded() -> bool:
    """Tell whether what runs becomes a graph, by `torch.compile`, `torch.export` or `torch.jit.trace`."""
    return torch.compiler.is_compiling() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


_KEPT_GRIDS = 8  # sizes per module; a detector sees many
_KEPT_NUMBERS = 2**24  # per module, 64 MB: a head of 4,096 cells, as 1024 pixels make, has as many numbers


def _count(*tensors: Tensor) -> int:
    return sum(each.numel() for each in tensors)


@dataclass(frozen=True)
class PlaneTable:
    """A stored number for each head and each offset in the plane, resampled for other grids.

    Source: arXiv:2106.04803, section 2.1 and appendix A.1.
    """

    def build(self, heads: int, grid: Grid) -> PositionTables:
        """Make the table for so many heads, native at `grid`, height and width in cells."""
        return PlaneBias(heads, grid)


@dataclass(frozen=True)
class PlaneNetwork:
    """A small network that computes the number for each head from the offset, so that every grid is its own.

    Args:
        hidden: width of its one hidden layer.
        dropout: probability of dropping a hidden feature while training, in [0, 1).

    Source: the continuous relative bias of arXiv:2111.09883, section 3.3, in timm's form: see `log_offsets`.
    """

    hidden: int = 512
    dropout: float = 0.125

    def build(self, heads: int, grid: Grid) -> PositionTables:
        """Make the network for so many heads. `grid` changes nothing but what is called native."""
        return PlaneNetworkBias(self, heads, grid)


class PlaneBias(PositionTables):
    """One number per head and offset in the plane: CoAtNet's relative bias."""

    def __init__(self, heads: int, grid: Grid) -> None:
        super().__init__(grid)
        self.table = nn.Parameter(torch.empty(heads, 2 * grid[0] - 1, 2 * grid[1] - 1))
        nn.init.trunc_normal_(self.table, std=0.02)

    def resized(self, grid: Grid) -> dict[str, Tensor]:
        return {"table": resize_plane_table(self.table, grid)}

    def shapes(self, grid: Grid) -> dict[str, tuple[int, ...]]:
        return {"table": (len(self.table), 2 * grid[0] - 1, 2 * grid[1] - 1)}

    def _look_up(self, grid: Grid) -> tuple[Tensor, ...]:
        table = self.table if self._is_native(grid) else resize_plane_table(self.table, grid)
        return (plane_bias(table, grid),)


class PlaneNetworkBias(PositionTables):
    """See `PlaneNetwork`."""

    def __init__(self, spec: PlaneNetwork, heads: int, grid: Grid) -> None:
        super().__init__(grid)
        self.hidden = nn.Linear(2, spec.hidden)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(spec.dropout)
        self.out = nn.Linear(spec.hidden, heads)

    def resized(self, grid: Grid) -> dict[str, Tensor]:  # noqa: ARG002 - its parameters are those of every grid
        return {}

    def _look_up(self, grid: Grid) -> tuple[Tensor, ...]:
        offsets = log_offsets(grid, self.out.weight.device).to(self.out.weight.dtype)
        table = self.out(self.dropout(self.act(self.hidden(offsets))))  # 2h-1 2w-1 n
        return (plane_bias(table.permute(2, 0, 1), grid),)


class AxisVectors(PositionTables):
    """One vector per offset along each axis, shared by all heads: BoTNet's relative positions."""

    def __init__(self, head_dim: int, grid: Grid) -> None:
        super().__init__(grid)
        self.height = nn.Parameter(torch.empty(2 * grid[0] - 1, head_dim))
        self.width = nn.Parameter(torch.empty(2 * grid[1] - 1, head_dim))
        for table in (self.height, self.width):
            start_normal(table, std=head_dim**-0.5)

    def resized(self, grid: Grid) -> dict[str, Tensor]:
        return {
            "height": resize_axis_table(self.height, grid[0]),
            "width": resize_axis_table(self.width, grid[1]),
        }

    def shapes(self, grid: Grid) -> dict[str, tuple[int, ...]]:
        rows, columns = (2 * length - 1 for length in grid)
        return {"height": (rows, self.height.shape[1]), "width": (columns, self.width.shape[1])}

    def _look_up(self, grid: Grid) -> tuple[Tensor, ...]:
        tables = (self.height, self.width) if self._is_native(grid) else tuple(self.resized(grid).values())
        return tuple(axis_vectors(table, length) for table, length in zip(tables, grid, strict=True))


class CellVectors(PositionTables):
    """One vector per row and one per column; a cell has the sum of its two.

    Args:
        channels: numbers of a vector: those of one head where all share it, as in BoTNet's absolute positions, or
            those of all heads side by side.
        grid: height and width in cells.
        std: standard deviation of the numbers at the start.
    """

    def __init__(self, channels: int, grid: Grid, *, std: float) -> None:
        super().__init__(grid)
        self.height = nn.Parameter(torch.empty(grid[0], channels))
        self.width = nn.Parameter(torch.empty(grid[1], channels))
        for table in (self.height, self.width):
            start_normal(table, std=std)

    def resized(self, grid: Grid) -> dict[str, Tensor]:
        return {
            "height": resize_cell_table(self.height, grid[0]),
            "width": resize_cell_table(self.width, grid[1]),
        }

    def shapes(self, grid: Grid) -> dict[str, tuple[int, ...]]:
        return {"height": (grid[0], self.height.shape[1]), "width": (grid[1], self.width.shape[1])}

    def _look_up(self, grid: Grid) -> tuple[Tensor, ...]:
        tables = (self.height, self.width) if self._is_native(grid) else tuple(self.resized(grid).values())
        return ((tables[0][:, None] + tables[1][None, :]).flatten(0, 1),)  # l d
