"""What a block learns from its place in the network, and from the machine."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, runtime_checkable

from torch import nn

from visiongraft.kernels.types import Grid, Path


@dataclass(frozen=True)
class Runtime:
    """What follows from the machine: never part of a spec.

    Args:
        kernels: which form of each kernel runs. "plain" is the definition, "fused" the fast form, "auto" the one
            that suits the device and the direction.
        channels_last: keep feature maps and weights with the channel as the fastest axis.
    """

    kernels: Path = "auto"
    channels_last: bool = True


@dataclass(frozen=True)
class Site:
    """What follows from a block's place in the network.

    Args:
        in_width: channels that come in.
        width: channels that go out.
        stride: by how much the grid shrinks; a size that does not divide is rounded up.
        grid: height and width in cells of the map that comes in, at the spec's own image size.
        drop_path: probability of dropping the block's residual branch, in [0, 1).
        runtime: what follows from the machine.
    """

    in_width: int
    width: int
    stride: int
    grid: Grid
    drop_path: float = 0.0
    runtime: Runtime = field(default_factory=Runtime)

    def inside(self, width: int) -> "Site":
        """Give the site of a mixer of `width` channels inside this block."""
        return replace(self, in_width=width, width=width, drop_path=0.0)

    @property
    def behind(self) -> "Site":
        """The site of a mixer inside this block, of its width, behind what takes the stride."""
        return replace(self.inside(self.width), stride=1, grid=self.out_grid)

    @property
    def out_grid(self) -> Grid:
        """Height and width in cells of the map that goes out."""
        return shrink(self.grid, self.stride)


@runtime_checkable
class Block(Protocol):
    """Anything that builds a module from (b, in_width, h, w) to (b, width, h/stride, w/stride)."""

    def build(self, site: Site) -> nn.Module:
        """Make the module for this place."""
        ...


@runtime_checkable
class Mixer(Protocol):
    """A block that stands where a spatial convolution could.

    `self_normalised` says that the module ends in its own normalisation and activation, so that the block around
    it adds none.
    """

    self_normalised: ClassVar[bool]

    def build(self, site: Site) -> nn.Module:
        """Make the module for this place."""
        ...


def shrink(grid: Grid, stride: int) -> Grid:
    """Divide a grid by a stride, rounding up.

    >>> shrink((7, 8), 2)
    (4, 4)
    """
    return -(-grid[0] // stride), -(-grid[1] // stride)
