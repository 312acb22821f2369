"""Runs a named recipe through `graft train`, or `graft detect train`, and writes down its score and how long it took.

    python -m scripts.measure_recipe cifar_cpu --data cifar10.npz [--seeds 0 1 2] [--write benchmarks/recipes.jsonl]
    python -m scripts.measure_recipe nuclei_cpu --data nuclei/ [--backbone resnet_pico]

What it does not know itself it hands to the command.
Each seed is a process of its own, timed from its start to its end, with the imports, the reading of the data and the
report. Prints one line of JSON, and adds it to a file: benchmarks/README.md explains it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from scripts.records import circumstances, load, publish, without_place
from visiongraft.detect.recipes import RECIPES as DETECTORS
from visiongraft.train.devices import find_device
from visiongraft.train.recipes import find_recipe

SCORES = ("top1", "box_ap50", "box_ap", "mask_ap50", "mask_ap")
"""What is written down of what a command says, where it says it."""


def trained(options: argparse.Namespace, seed: int, folder: Path) -> tuple[dict[str, Any], float]:
    """Train with a seed; give what the command says of it, and its seconds."""
    verb = ["detect", "train"] if options.recipe in DETECTORS else ["train"]
    words = [sys.executable, "-m", "visiongraft", *verb, "--recipe", options.recipe, "--data", options.data]
    words += ["--device", options.device, "--seed", str(seed), "--output", str(folder / str(seed)), "--json"]
    began = perf_counter()
    done = subprocess.run([*words, *options.more], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout), perf_counter() - began


def scores_of(told: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """List each score of the runs, and give its mean."""
    found: dict[str, object] = {}
    for name in SCORES:
        values = [each[f"val_{name}"] for each in told if f"val_{name}" in each]
        if values:
            found[name] = [round(each, 4) for each in values]
            found[f"mean_{name}"] = round(statistics.fmean(values), 4)
    return found


def model_of(options: argparse.Namespace) -> str:
    """Tell which network learns."""
    if options.recipe not in DETECTORS:
        return find_recipe(options.recipe).model
    more = options.more
    return more[more.index("--backbone") + 1] if "--backbone" in more else DETECTORS[options.recipe].backbone


def record(options: argparse.Namespace) -> dict[str, object]:
    """Measure."""
    load_before = load()
    with tempfile.TemporaryDirectory() as folder:
        runs = [trained(options, seed, Path(folder)) for seed in options.seeds]
    return {
        "what": "score on the validation images, and seconds of the whole command, of each seed",
        "recipe": options.recipe,
        "model": model_of(options),
        "options": options.more,
        "data": without_place(options.data),
        "seeds": options.seeds,
        **scores_of([told for told, _ in runs]),
        "seconds": [round(seconds) for _, seconds in runs],
        **circumstances("measure_recipe", find_device(options.device), load_before),
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m scripts.measure_recipe", allow_abbrev=False)
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path)
    options, more = parser.parse_known_args()
    options.more = more  # for the command
    publish(record(options), options.write)


if __name__ == "__main__":
    main()
