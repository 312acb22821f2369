"""Runs a named recipe through `graft train`, as a user does, and writes down its score and how long it took.

    python -m scripts.measure_recipe cifar_cpu --data cifar10.npz [--seeds 0 1 2] [--write benchmarks/recipes.jsonl]

What it does not know itself it hands to `graft train`.
Each seed is a process of its own, timed from its start to its end, with the imports, the reading of the data and the
report. Prints one line of JSON, and adds it to a file: benchmarks/README.md explains it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from scripts.records import circumstances, load, publish, without_place
from visiongraft.train.devices import find_device
from visiongraft.train.recipes import find_recipe


def trained(options: argparse.Namespace, seed: int, folder: Path) -> tuple[dict[str, float], float]:
    """Train with a seed; give what the command says of it, and its seconds."""
    words = [sys.executable, "-m", "visiongraft", "train", "--recipe", options.recipe, "--data", options.data]
    words += ["--device", options.device, "--seed", str(seed), "--output", str(folder / str(seed)), "--json"]
    began = perf_counter()
    done = subprocess.run([*words, *options.more], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout), perf_counter() - began


def record(options: argparse.Namespace) -> dict[str, object]:
    """Measure."""
    load_before = load()
    with tempfile.TemporaryDirectory() as folder:
        runs = [trained(options, seed, Path(folder)) for seed in options.seeds]
    return {
        "what": "score on the validation images, and seconds of the whole command, of each seed",
        "recipe": options.recipe,
        "model": find_recipe(options.recipe).model,
        "options": options.more,
        "data": without_place(options.data),
        "seeds": options.seeds,
        "top1": [round(told["val_top1"], 4) for told, _ in runs],
        "mean_top1": round(statistics.fmean(told["val_top1"] for told, _ in runs), 4),
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
    options.more = more  # for `graft train`
    publish(record(options), options.write)


if __name__ == "__main__":
    main()
