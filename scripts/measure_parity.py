"""Measures how far networks are from their originals with the same weights, into the package's record.

Run it where the tests run, with the photographs of the development material:

    python -m scripts.measure_parity ../shared [NAME ...]

Without names it measures what the record lacks or what has changed since; with names these, in any case. Every network
has its full depth and width for the logits, and at most two blocks in a stage for the gradients. The largest, of 687
million parameters, is in memory twice.
"""

import sys
from datetime import date
from pathlib import Path

import timm
import torch

from tests.parity.originals import ORIGINALS, Original, difference, logits, photographs, reduced, training_step
from visiongraft.cards.records import PARITY, Parity, as_text, fingerprint, read
from visiongraft.explain.machine import describe_machine
from visiongraft.families.zoo import get_spec


def measured(original: Original, shared: Path) -> Parity:
    """Give the largest differences: of logits as a share of the largest logit, of each gradient as a share of its own.

    Gradients that are nothing but rounding, below 1e-5 of the largest one, do not count.
    """
    spec = get_spec(original.name)
    wanted, found = logits(original, spec, photographs(shared, spec.image, 2))
    short = reduced(spec, depth=2).at(96)
    slopes, ours, _ = training_step(original, short, photographs(shared, short.image, 4))
    largest = max(float(each.abs().max()) for each in slopes.values())
    live = (name for name, each in slopes.items() if float(each.abs().max()) > _ROUNDING * largest)
    return Parity(
        name=original.name,
        source=original.source,
        spec=fingerprint(spec),
        form="whole",
        image=spec.image,
        logits=rounded(difference(found, wanted)),
        gradients=rounded(max(difference(ours[name], slopes[name]) for name in live)),
        versions={"torch": torch.__version__.partition("+")[0], "timm": timm.__version__},
        machine=describe_machine(torch.device("cpu")).device,
        date=date.today().isoformat(),
    )


_ROUNDING = 1e-5


def rounded(number: float) -> float:
    """Keep two digits: the others depend on the machine."""
    return float(f"{number:.1e}")


def renew(shared: Path, names: list[str]) -> None:
    """Bring the record up to date, one network after the other, so that what was measured is kept if this stops."""
    known = {(row.name, row.source): row for row in read(PARITY, Parity)} if PARITY.exists() else {}
    present = {(each.name, each.source) for each in ORIGINALS}
    rows = {key: row for key, row in known.items() if key in present}
    for each in ORIGINALS:
        key = (each.name, each.source)
        old = rows.get(key)
        if each.name in names or not names and (old is None or old.spec != fingerprint(get_spec(each.name))):
            rows[key] = measured(each, shared)
            print(f"{each.name} ({each.source}): {rows[key].logits:.1e}, {rows[key].gradients:.1e}", flush=True)
            order = [(other.name, other.source) for other in ORIGINALS]
            PARITY.write_text(as_text(sorted(rows.values(), key=lambda row: order.index((row.name, row.source)))))


if __name__ == "__main__":
    torch.set_num_threads(1)
    renew(Path(sys.argv[1]), sys.argv[2:])
