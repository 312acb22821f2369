"""`graft info`."""

import os
from dataclasses import dataclass
from pathlib import Path

from visiongraft.cards.card import Card, card_for
from visiongraft.cli.grafting import blueprint_named, grafted, parse_grafts, run_plugin
from visiongraft.cli.values import ImageSize, find_weights, parse_image
from visiongraft.errors import counted, printable
from visiongraft.families.zoo import customized
from visiongraft.spec import Backbone
from visiongraft.summary import Summary, summarize
from visiongraft.surgery.foreign import Blueprint
from visiongraft.surgery.network import fitted
from visiongraft.weights.sources import WEIGHT_FILES, get_weight_set, names_weights


@dataclass(frozen=True)
class Info:
    """A network, counted, and what is known of it.

    Args:
        summary: of the network at the size that was asked for.
        card: of the network of the zoo that it is, or None where it is none.
    """

    summary: Summary
    card: Card | None


def run(
    model: str,
    *,
    image: ImageSize | None = None,
    num_classes: int | None = None,
    graft: str | None = None,
    graft_lose: str | None = None,
    plugin: Path | None = None,
) -> Info:
    """Show what a network is made of, what it costs block by block, and what is published and was measured of it.

    Examples:
        graft info coatnet_0
        graft info botnet50 --image 256x128 --num-classes 10
        graft info runs/coatnet_pico-photos
        graft info torchvision:resnet50 --graft "layer4.*.conv2=GridAttention(heads=4)"

    Args:
        model: a name of `graft list`, perhaps with a tag of `graft list --pretrained`; a library's, as
            torchvision:resnet50; or a .safetensors file of `graft train`
        image: size in pixels, as 224 or as 256x128 for height and width; by default the network's own
        num_classes: how many classes it tells apart; by default the network's own
        graft: what to graft into it, as in graft train
        graft_lose: what of convolutions may go with them, of groups,dilation
        plugin: a file of Python with mixers of your own that the network has; it is run
    """
    run_plugin(plugin)
    grafts = parse_grafts(graft, graft_lose)
    named = ":" in model or _is_name(model)
    network = _spec_of(model) if named else find_weights(Path(model), None).network.spec
    spec = customized(network, num_classes=num_classes) if isinstance(network, Backbone) else network
    spec = grafted(fitted(spec, image=parse_image(image), num_classes=num_classes), grafts)
    card = card_for(spec) if isinstance(spec, Backbone) else None
    return Info(summarize(spec), card if named or card is None else card.for_other_weights())


def _spec_of(name: str) -> Blueprint:
    """Give the network of a name; with a tag, in the form that these published weights are of. Nothing is fetched."""
    if "." not in name or ":" in name:
        return blueprint_named(name)
    weights = get_weight_set(name)
    return customized(weights.network, num_classes=weights.num_classes, image=weights.preprocessing.image)


def _is_name(model: str) -> bool:
    """Tell names from files. A name wins over what lies there and is called the same: ./resnet50 is that."""
    file = os.path.lexists(model) or os.sep in model or model.lower().endswith(WEIGHT_FILES)
    return names_weights(model) or not file


def as_json(info: Info) -> dict[str, object]:
    """Give the counts of the whole and of its parts, and the card, which is null where there is none."""
    summary = info.summary
    return {
        "name": summary.spec.name,
        "params": summary.params,
        "macs": summary.macs,
        "image": list(summary.image),
        "num_classes": summary.spec.num_classes,
        "smallest_image": summary.smallest_image,
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
        "card": None if info.card is None else info.card.as_json(),
    }


def show(info: Info) -> None:
    """Print the blocks as a table, and the card below it."""
    _show_blocks(info.summary)
    if info.card is not None:
        print(f"\n{info.card.as_text()}")


def _show_blocks(summary: Summary) -> None:
    spec = summary.spec
    height, width = summary.image
    print(f"{printable(spec.name)} at {height}x{width} pixels, {counted(spec.num_classes, 'class')}")
    print(
        f"{summary.params / 1e6:.2f} million parameters, {_millions(summary.macs)} multiply-adds,"
        f" any image from {summary.smallest_image}x{summary.smallest_image} pixels\n"
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
