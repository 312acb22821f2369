"""Counts parameters and multiply-adds of the zoo and of timm's networks of the same design, into the package's record.

    python -m scripts.measure_counts [--all]

Counts what the record lacks or what has changed since; with --all everything, in some minutes. Nothing is computed:
networks are built on the meta device.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import version

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from visiongraft.cards.published import PUBLISHED
from visiongraft.cards.records import COUNTS, Count, as_text, fingerprint, read
from visiongraft.families.zoo import get_spec, list_models
from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone
from visiongraft.summary import summarize

TWINS = {
    "convmixer_1024_20": "convmixer_1024_20_ks9_p14",
    **{f"coatnet_{index}_dw": f"coatnet_{index}_224" for index in range(6)},
}
"""timm's name for a network of the same sizes, where it is not ours."""


def twin(name: str) -> str | None:
    """Give timm's name for a network of ours that has the same sizes, or None."""
    theirs = TWINS.get(name, name)
    return theirs if timm.is_model(theirs) else None


def images(spec: Backbone) -> list[Grid]:
    """Give the image sizes that cards show: the native one, then those that others published sizes for."""
    published = PUBLISHED[spec.name].sizes if spec.name in PUBLISHED else ()
    return list(dict.fromkeys([spec.image, *((size.image, size.image) for size in published)]))


def wanted() -> list[tuple[str, str, Grid]]:
    """Give the network, whose it is and the image size of all rows, in the order of the record."""
    rows: list[tuple[str, str, Grid]] = []
    for name in list_models():
        spec = get_spec(name)
        rows += [(name, "ours", image) for image in images(spec)]
        theirs = twin(name)
        if theirs:
            rows.append((name, theirs, spec.image))
    return rows


def counted(name: str, of: str, image: Grid) -> Count:
    """Count one network at one size, the size being native: position tables are those of that grid."""
    spec = get_spec(name)
    if of == "ours":
        found = summarize(spec.at(image))
        return Count(name, of, fingerprint(spec), image, found.params, found.macs, version("visiongraft"))
    params, macs = counted_as_ours(timm_network(of, image), image)
    return Count(name, of, fingerprint(spec), image, params, macs, timm.__version__)


def timm_network(name: str, image: Grid) -> nn.Module:
    """Build timm's network without numbers, for 1000 classes."""
    sized = {} if name.startswith(("resnet", "seresnet", "convmixer")) else {"img_size": image}
    with torch.device("meta"):
        return timm.create_model(name, num_classes=1000, **sized).eval()


def counted_as_ours(network: nn.Module, image: Grid) -> tuple[int, int]:
    """Count parameters and multiply-adds as `summarize` does."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.empty(1, 3, *image, device="meta"))
    return sum(each.numel() for each in network.parameters()), counter.get_total_flops() // 2


def holds(row: Count) -> bool:
    """Tell whether a row is of the network as it is now, and of this timm."""
    if fingerprint(get_spec(row.name)) != row.spec:
        return False
    return row.of == "ours" or row.version == timm.__version__


def renewed(*, everything: bool) -> Iterator[Count]:
    """Give all rows, counting those that are not known."""
    known = {}
    if COUNTS.exists() and not everything:
        names = set(list_models())
        known = {(row.name, row.of, row.image): row for row in read(COUNTS, Count) if row.name in names and holds(row)}
    for key in wanted():
        if key in known:
            yield known[key]
        else:
            row = counted(*key)
            print(f"{row.name} ({row.of}) at {row.image[0]}x{row.image[1]}: {row.params:,} {row.macs:,}", flush=True)
            yield row


if __name__ == "__main__":
    torch.set_num_threads(1)
    COUNTS.write_text(as_text(renewed(everything="--all" in sys.argv[1:])), encoding="utf-8")
