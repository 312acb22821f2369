"""Measures how far networks are from their originals with the same weights, into the package's record.

Run it where the tests run, with a folder that holds photographs as `data/demo/*.jpg`:

    python -m scripts.measure_parity FOLDER [NAME ...]

Without names it measures what the record lacks or what has changed since; with names these, in any case. Every network
has its full depth and width for the logits, and at most two blocks in a stage for the gradients. The largest, of 687
million parameters, is in memory twice.
"""

import sys
from datetime import date
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from tests.parity.originals import ORIGINALS, Original, difference, for_training, logits, photographs, training_step
from visiongraft.cards.records import PARITY, Parity, as_text, fingerprint, read
from visiongraft.explain.machine import describe_machine
from visiongraft.families.zoo import get_spec
from visiongraft.network import Network
from visiongraft.spec import Backbone
from visiongraft.weights.convert import convert

Key = tuple[str, str, str]
"""What tells comparisons apart: the network, the source, and what was compared with."""


def words_for(original: Original) -> str:
    """Say what a network is compared with."""
    if original.source == "timm":
        return "timm's network"
    if original.build.__name__.startswith("tweeted"):
        return "a rebuild of the authors' short form"
    if original.source == "lucidrains":
        return "a rebuild of lucidrains' port"
    public = original.build.__name__.startswith("listing")
    return "a rebuild of the public listing" if public else "a rebuild of the authors' code"


def key_of(original: Original) -> Key:
    """Give what tells a comparison from others."""
    return original.name, original.source, words_for(original)


def measured(original: Original, shared: Path) -> Parity:
    """Give the largest differences: of logits as a share of the largest logit, of each gradient as a share of its own.

    Gradients that are nothing but rounding, below 1e-5 of the largest one, do not count.
    """
    spec = get_spec(original.name)
    theirs = {"timm": timm.__version__} if original.source == "timm" else {}
    images = photographs(shared, spec.image, 2)
    wanted, found = logits(*whole_pair(original, spec, images), images)
    short = for_training(spec)
    slopes, ours, _ = training_step(original, short, photographs(shared, short.image, 4))
    largest = max(float(each.abs().max()) for each in slopes.values())
    live = (name for name, each in slopes.items() if float(each.abs().max()) > _ROUNDING * largest)
    return Parity(
        name=original.name,
        source=original.source,
        original=words_for(original),
        spec=fingerprint(spec),
        image=spec.image,
        logits=rounded(difference(found, wanted)),
        gradients=rounded(max(difference(ours[name], slopes[name]) for name in live)),
        precision=str(next(iter(ours.values())).dtype).removeprefix("torch."),
        versions={"torch": torch.__version__.partition("+")[0]} | theirs,
        machine=describe_machine(torch.device("cpu")).device,
        date=date.today().isoformat(),
    )


_ROUNDING = 1e-5


def whole_pair(original: Original, spec: Backbone, images: Tensor) -> tuple[nn.Module, Network]:
    """Make the original in full depth, and ours with the same weights.

    The branches of a whole CoTNet are damped, as training damps them. With random numbers of their natural size their
    products grow to 1e20 in 101 layers, and then an original in float32 is not even near itself in float64.
    """
    theirs, ours = original.pair(spec, images if original.source == "timm" else None)
    if original.source == "cotnet":
        damp_branches(theirs)
        ours.load_state_dict(convert(theirs.state_dict(), source=original.source, name=spec))
    return theirs, ours


def damp_branches(network: nn.Module) -> None:
    """Make what a block adds to its shortcut small."""
    for name, each in network.named_parameters():
        if ".bn3." in name:
            each.data.mul_(_DAMPING)


_DAMPING = 0.2


def rounded(number: float) -> float:
    """Keep two digits: the others depend on the machine."""
    return float(f"{number:.1e}")


def renew(shared: Path, names: list[str]) -> None:
    """Bring the record up to date, one network after the other, so that what was measured is kept if this stops."""
    order = [key_of(each) for each in ORIGINALS]
    known = {(row.name, row.source, row.original): row for row in read(PARITY, Parity)}
    rows = {key: row for key, row in known.items() if key in order}
    for each, key in zip(ORIGINALS, order, strict=True):
        old = rows.get(key)
        if each.name in names or not names and (old is None or old.spec != fingerprint(get_spec(each.name))):
            rows[key] = measured(each, shared)
            print(f"{each.name}, {key[2]}: {rows[key].logits:.1e}, {rows[key].gradients:.1e}", flush=True)
        PARITY.write_text(as_text(rows[each] for each in order if each in rows), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    renew(Path(sys.argv[1]), sys.argv[2:])
