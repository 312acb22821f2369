"""`graft info`."""

from pathlib import Path

from visiongraft.cli.values import parse_image, read_weights
from visiongraft.families.zoo import customized
from visiongraft.summary import Summary, summarize


def run(model: str, *, image: int | str | None = None, num_classes: int | None = None) -> Summary:
    """Show what a network is made of, and what it costs, block by block.

    Args:
        model: a name of `graft list`, or a .safetensors file of `graft train`
        image: size in pixels, as 224 or as 256x128 for height and width; by default the network's own
        num_classes: how many classes it tells apart; by default the network's own
    """
    if model.endswith(".safetensors") or Path(model).is_dir():
        return summarize(read_weights(Path(model), image).network.spec)
    return summarize(customized(model, image=parse_image(image), num_classes=num_classes))


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
    from rich.console import Console
    from rich.table import Table

    spec = summary.spec
    height, width = summary.image
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("module", "block", "width", "grid", "stride", "parameters", "MACs"):
        table.add_column(column, justify="left" if column in {"module", "block"} else "right")
    for row in summary.rows:
        grid = "1x1" if row.kind == "Head" else f"{row.grid[0]}x{row.grid[1]}"
        stride = "" if row.kind == "Head" else str(row.stride)
        table.add_row(row.name, row.kind, str(row.width), grid, stride, f"{row.params:,}", _millions(row.macs))
    console = Console(highlight=False)
    console.print(f"[bold]{spec.name}[/] at {height}x{width} pixels, {spec.head.num_classes} classes")
    console.print(
        f"{summary.params / 1e6:.2f} million parameters, {_millions(summary.macs)} multiply-adds,"
        f" any image from {spec.smallest_image}x{spec.smallest_image} pixels\n"
    )
    console.print(table)


def _millions(macs: int) -> str:
    return f"{macs / 10**9:.2f} G" if macs >= 10**9 else f"{macs / 10**6:.2f} M"
