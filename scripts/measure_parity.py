"""Measures how far networks are from their originals with the same weights, as one JSON object per network.

Run it where the tests run, with the photographs of the development material:

    python -m scripts.measure_parity ../shared [NAME ...]

Every network has its full depth and width for the logits, and at most two blocks in a stage for the gradients. The
largest, of 687 million parameters, is in memory twice.
"""

import json
import sys
from pathlib import Path

import torch

from tests.parity.originals import ORIGINALS, Original, difference, for_training, logits, photographs, training_step
from visiongraft.families.zoo import get_spec


def measured(original: Original, shared: Path) -> dict[str, object]:
    """Give the largest differences: of logits as a share of the largest logit, of each gradient as a share of its own.

    Gradients that are nothing but rounding, below 1e-5 of the largest one, do not count.
    """
    spec = get_spec(original.name)
    wanted, found = logits(original, spec, photographs(shared, spec.image, 2))
    short = for_training(spec)
    slopes, ours, _ = training_step(original, short, photographs(shared, short.image, 4))
    largest = max(float(each.abs().max()) for each in slopes.values())
    live = (name for name, each in slopes.items() if float(each.abs().max()) > _ROUNDING * largest)
    return {
        "name": original.name,
        "source": original.source,
        "image": spec.image,
        "logits": difference(found, wanted),
        "gradients": max(difference(ours[name], slopes[name]) for name in live),
        "torch": torch.__version__,
    }


_ROUNDING = 1e-5


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    for each in ORIGINALS:
        if not names or each.name in names:
            print(json.dumps(measured(each, folder)), flush=True)
