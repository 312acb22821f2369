"""Write what large networks and the papers' runs take into docs/scaling.md, between its marks.

    python -m scripts.make_scaling_page

Nothing is computed: networks are built on the meta device, where tensors have sizes and no numbers. Parameters and
multiply-adds come from the package's record of counts, throughput from the records in benchmarks/speed.jsonl.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from scripts.records import read
from visiongraft.cards.records import Count, counts
from visiongraft.families.zoo import get_spec
from visiongraft.network import Network
from visiongraft.spec import Backbone

PAGE = Path("docs/scaling.md")
SPEED = Path("benchmarks/speed.jsonl")
MEMORY = "<!-- memory: written by scripts/make_scaling_page.py -->\n", "<!-- end of memory -->\n"
HOURS = "<!-- hours: written by scripts/make_scaling_page.py -->\n", "<!-- end of hours -->\n"

LARGE = ("coatnet_0", "coatnet_3", "coatnet_4", "coatnet_5", "coatnet_6", "coatnet_7")
DEVICE_GIB = 80
BYTES_A_WEIGHT = 16  # weight, gradient and AdamW's two means, in float32


@dataclass(frozen=True)
class PaperRun:
    """A training of a paper.

    Args:
        what: in words.
        model: the network.
        image: pixels a side.
        epochs: passes over the images.
        million: images, in millions.
    """

    what: str
    model: str
    image: int
    epochs: int
    million: float

    @property
    def exaflop(self) -> float:
        """Its floating-point operations, in 10^18: two a multiply-add, and twice those of the forward way back."""
        return 6 * counted(self.model, self.image).macs * self.million * self.epochs / 1e12


RUNS = (
    PaperRun("BoT-S1-50, ImageNet", "botnet_s1_50", 224, 100, 1.281),
    PaperRun("CoTNet-50, ImageNet", "cotnet50", 224, 350, 1.281),
    PaperRun("ConvMixer-1536/20, ImageNet", "convmixer_1536_20", 224, 150, 1.281),
    PaperRun("CoAtNet-0, ImageNet", "coatnet_0", 224, 300, 1.281),
    PaperRun("CoAtNet-3, ImageNet", "coatnet_3", 224, 300, 1.281),
    PaperRun("then at 512", "coatnet_3", 512, 30, 1.281),
    PaperRun("CoAtNet-4, ImageNet-21k", "coatnet_4", 224, 90, 13.0),
    PaperRun("then ImageNet at 512", "coatnet_4", 512, 30, 1.281),
    PaperRun("CoAtNet-5, JFT-300M", "coatnet_5", 224, 14, 300.0),
)


def counted(model: str, image: int) -> Count:
    """Give what was counted of a network at an image size, in pixels a side."""
    found = [each for each in counts() if (each.name, each.of, each.image) == (model, "ours", (image, image))]
    if not found:
        raise LookupError(f"Nothing was counted of {model} at {image}: python -m scripts.measure_counts")
    return found[0]


def kept_bytes(spec: Backbone) -> int:
    """Give the bytes that a forward pass of one image keeps for the way back, in float32, without the weights.

    A tensor that two operations keep counts once. What batches are normalised by is left out, which is small.
    """
    with torch.device("meta"):
        network = Network(spec).train()
    weights = {each.untyped_storage()._cdata for each in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in weights and not isinstance(tensor, nn.Parameter):
            kept[place] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.zeros(2, 3, *spec.image, device="meta"))
    return sum(each.untyped_storage().nbytes() for each in kept.values()) // 2


def memory_table(names: Iterable[str] = LARGE) -> str:
    """Give memory by device, strategy and image, of networks of the zoo."""
    lines = [
        "| network | million parameters | GiB: ddp | fsdp, 8 | fsdp, 64 | an image | images: ddp | "
        "fsdp, 8 | fsdp, 64 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        spec = get_spec(name).at(224)
        params = counted(name, 224).params
        image = kept_bytes(spec) / 2 / 2**30  # of bfloat16
        held = [params * BYTES_A_WEIGHT / 2**30 / devices for devices in (1, 8, 64)]
        parts = [f"{max(int((DEVICE_GIB - each) / image), 0):,}" for each in held]
        row = [f"`{name}`", f"{params / 1e6:,.0f}", *(f"{each:.2f}" for each in held), f"{image:.3f}", *parts]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


def hours_table() -> str:
    """Give the work of the papers' runs, and how long it takes where steps were measured."""
    steps = {each["model"]: each for each in read(SPEED) if each["image"] == [224, 224]}
    lines = [
        "| run | images | epochs | EFLOP | hours at 1 PFLOP/s | images per second, 2 CPU cores | their years |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in RUNS:
        measured, years = "not measured", ""
        if run.model in steps and run.image == 224:
            speed = steps[run.model]["step"][1]
            measured, years = f"{speed:.1f}", f"{run.million * 1e6 * run.epochs / speed / 3600 / 24 / 365:.1f}"
        row = [run.what, f"{run.million:g} million at {run.image}", str(run.epochs), f"{run.exaflop:,.1f}"]
        lines.append(f"| {' | '.join([*row, f'{run.exaflop / 3.6:,.1f}', measured, years])} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the page anew."""
    page = PAGE.read_text(encoding="utf-8")
    for (begin, end), table in ((MEMORY, memory_table()), (HOURS, hours_table())):
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = before + begin + "\n" + table + "\n" + end + after
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
