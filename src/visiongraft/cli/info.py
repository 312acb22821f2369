"""`graft info`."""

import os
from pathlib import Path

from visiongraft.cli.values import ImageSize, parse_image, read_weights
from visiongraft.errors import counted, printable
from visiongraft.families.zoo import customized, list_models
from visiongraft.summary import Summary, summarize


def run(model: str, *, image: ImageSize | None = None, num_classes: int | None = None) -> Summary:
    """Show what a network is made of, and what it costs, block by block.

    Examples:
        graft info coatnet_0
        graft info botnet50 --image 256x128 --num-classes 10
        graft info runs/coatnet_pico-photos

    Args:
        model: a name of `graft list`, or a .safetensors file of `graft train`
        image: size in pixels, as 224 or as 256x128 for height and width; by default the network's own
        num_classes: how many classes it tells apart; by default the network's own
    """
    network = model if _is_name(model) else read_weights(Path(model), None).network.spec
    return summarize(customized(network, image=parse_image(image), num_classes=num_classes))


def _is_name(model: str) -> bool:
    """Tell names from files. A name wins over a folder that is called the same; ./resnet50 is that folder."""
    known = model.lower().removesuffix("_small") in list_models()
    return known or not (model.endswith(".safetensors") or os.path.isdir(model))  # noqa: PTH112 - see read_weights


def as_json(summary: Summary) -> dict[str, object]:
    """Give the counts of the whole and of its parts."""
    return {
        "name": summary.spec.name,
        "params": summary.params,
        "macs": summary.macs,
        "image": list(summary.image),
        "num_classes": summary.spec.head.num_classes,
        "smallest_image": summary.spec.smallest_image,
        "stages": [
            {
                "name": row.name,
                "kind": row.kind,
                "width": row.width,
                "grid": list(row.grid),
                "stride": row.stride,
                "params": row.params,
                "macs": row.macs,
            }
            for row in summary.rows
        ],
    }


def show(summary: Summary) -> None:
    """Print the blocks as a table."""
    spec = summary.spec
    height, width = summary.image
    print(f"{printable(spec.name)} at {height}x{width} pixels, {counted(spec.head.num_classes, 'class')}")
    print(
        f"{summary.params / 1e6:.2f} million parameters, {_millions(summary.macs)} multiply-adds,"
        f" any image from {spec.smallest_image}x{spec.smallest_image} pixels\n"
    )
    table = [("module", "block", "width", "grid", "stride", "parameters", "MACs")]
    for row in summary.rows:
        grid, stride = ("1x1", "") if row.kind == "Head" else (f"{row.grid[0]}x{row.grid[1]}", str(row.stride))
        table.append((row.name, row.kind, str(row.width), grid, stride, f"{row.params:,}", _millions(row.macs)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, kind, *numbers in table:
        cells = [f"{name:{widths[0]}}", f"{kind:{widths[1]}}"]
        cells += [f"{number:>{size}}" for number, size in zip(numbers, widths[2:], strict=True)]
        print("  ".join(cells))


def _millions(macs: int) -> str:
    return f"{macs / 10**9:.2f} G" if macs >= 10**9 else f"{macs / 10**6:.2f} M"
