"""What a network costs: parameters, multiply-adds and grids, block by block, without running a single number."""

from dataclasses import dataclass

import torch
from torch import nn

from visiongraft.blocks.site import Runtime
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Blueprint
from visiongraft.surgery.network import ForeignNetwork, build
from visiongraft.surgery.rehearsal import Call, Stage


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
        rows: stem, blocks and head, in order; of a network of others, its parts.
        smallest_image: the smallest side in pixels that the network takes.
    """

    spec: Blueprint
    image: Grid
    rows: tuple[Row, ...]
    smallest_image: int

    @property
    def params(self) -> int:
        """Trainable numbers of the whole network."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole network for one image."""
        return sum(row.macs for row in self.rows)


def summarize(spec: Blueprint, image: int | Grid | None = None) -> Summary:
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
    if not isinstance(spec, Backbone):
        return _of_others(spec, size)
    grids = spec.grids(size)
    with torch.device("meta"):
        network = Network(spec, Runtime(kernels="plain")).eval()
    for module in network.modules():  # they are not counted, and without numbers take longer than all the rest
        if isinstance(module, nn.BatchNorm2d):
            module.forward = nn.Identity().forward  # type: ignore[method-assign]
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
    return Summary(spec, size, (*rows, head), spec.smallest_image)


def _of_others(spec: Blueprint, size: Grid) -> Summary:
    """Count a network of others, or a grafted one, part by part: what it holds, and what sequences in it hold."""
    with torch.device("meta"):
        network = build(spec.at(size)).eval()
    assert isinstance(network, ForeignNetwork)
    parts: dict[str, nn.Module] = {}
    for name, child in network.body.named_children():
        inner = {f"{name}.{key}": each for key, each in child.named_children()}
        parts |= inner if isinstance(child, nn.Sequential) else {name: child}
    seen = Stage(network.body, (torch.empty(1, spec.in_chans, *size, device="meta"),)).watch(parts, counting=True)
    rows = [
        _row(name, parts[name], calls[-1], seen.macs_of(name), size) for name, calls in seen.calls.items() if calls
    ]
    return Summary(spec, size, tuple(rows), network.smallest_image)


def _row(name: str, module: nn.Module, call: Call, macs: int, size: Grid) -> Row:
    width, *grid = call.gave[1:] or (0,)
    height, across = grid if len(grid) == 2 else (1, 1)
    params = sum(each.numel() for each in module.parameters())
    return Row(name, type(module).__name__, width, (height, across), -(-size[0] // max(height, 1)), params, macs)
