"""What a network costs: parameters, multiply-adds and grids, block by block, without running a single number."""

from dataclasses import dataclass

import torch
from torch import nn

from visiongraft.blocks.site import Runtime
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.spec import Backbone


@dataclass(frozen=True)
class Row:
    """One block of a network.

    Args:
        name: its module, as "stages.2.0".
        kind: the word of the vocabulary that made it.
        width: channels that go out.
        grid: height and width in cells that go out.
        stride: pixels per cell.
        params: trainable numbers.
        macs: multiply-adds for one image.
    """

    name: str
    kind: str
    width: int
    grid: Grid
    stride: int
    params: int
    macs: int


@dataclass(frozen=True)
class Summary:
    """A network, counted.

    Args:
        spec: what was counted.
        image: height and width in pixels that the multiply-adds are for.
        rows: stem, blocks and head, in order.
    """

    spec: Backbone
    image: Grid
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Trainable numbers of the whole network."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole network for one image."""
        return sum(row.macs for row in self.rows)


def summarize(spec: Backbone, image: int | Grid | None = None) -> Summary:
    """Count a network at an image size, on the meta device: no memory, no arithmetic, however large it is.

    Args:
        spec: the network. Its position tables are those of its native size.
        image: size in pixels, one number or (height, width); by default the native size.

    Returns:
        Its parameters and multiply-adds. Convolutions, linear layers and the products inside attention and inside
        CoTNet's local filter count; normalisations, activations and pooling do not, as in the papers' tables.
    """
    from torch.utils.flop_counter import FlopCounterMode  # brings Triton along, which importing us need not wait for

    size = spec.image if image is None else spec.at(image).image
    grids = spec.grids(size)
    with torch.device("meta"):
        network = Network(spec, Runtime(kernels="plain")).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.empty(1, spec.in_chans, *size, device="meta"))
    macs = {name.partition(".")[2]: sum(each.values()) // 2 for name, each in counter.get_flop_counts().items()}

    def row(name: str, kind: str, module: nn.Module, level: int) -> Row:
        params = sum(each.numel() for each in module.parameters())
        return Row(name, kind, spec.widths[level], grids[level], spec.strides[level], params, macs.get(name, 0))

    rows = [row("stem", type(spec.stem).__name__, network.stem, 0)]
    for level, stage in enumerate(spec.stages, start=1):
        for index, block in enumerate(stage.blocks):
            name = f"stages.{level - 1}.{index}"
            rows.append(row(name, type(block).__name__, network.get_submodule(name), level))
    macs["head"] = counter.get_total_flops() // 2 - sum(each.macs for each in rows)  # `cell_hidden` runs outside
    head = row("head", "Head", network.head, len(spec.stages))
    return Summary(spec, size, (*rows, head))
