"""Measures what the engine costs over a bare loop in PyTorch that takes the same steps.

    python -m scripts.measure_overhead [MODEL] [IMAGE] [THREADS]

Trains on the bundled flowers, at one image size, with the default recipe's step. The time of a step is measured in
interleaved pairs in one process: a few steps by the engine, as many by a loop that holds nothing but loading, loss,
gradients, clipping and the optimiser; the two in turn first. The peak of memory is measured in processes of their own.
Prints one JSON object: medians and quartiles of the ratios, machine and versions.
"""

import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter

import torch

from visiongraft.data.flowers import open_flowers
from visiongraft.data.loader import Samples, StepSampler, make_loader
from visiongraft.data.sets import ImageData
from visiongraft.data.transforms import TrainTransform
from visiongraft.explain.machine import describe_machine
from visiongraft.families.zoo import get_spec
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.train.devices import Hardware, keep_freed_memory
from visiongraft.train.engine import train
from visiongraft.train.optim import make_optimizer
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder
from visiongraft.train.schedule import set_rate
from visiongraft.train.step import Lesson

PAIRS, EPOCHS = 11, 1
Times = list[float]


class Watch:
    """A listener that notes when each step ends."""

    def __init__(self) -> None:
        self.ends: Times = []

    def step(self, done: int, steps: int, loss: float) -> None:
        """Note the time."""
        del done, steps, loss
        self.ends.append(perf_counter())

    def epoch(self, row: object) -> None:
        """Do nothing."""


def by_engine(spec: Backbone, data: ImageData, recipe: Recipe) -> Times:
    """Give when each step of the engine ended."""
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        train(
            spec,
            data,
            recipe,
            RunFolder(Path(folder, "run")),
            preprocessing=Preprocessing(spec.image),
            hardware=Hardware(torch.device("cpu")),
            listener=watch,
        )
    return watch.ends


def by_hand(spec: Backbone, data: ImageData, recipe: Recipe) -> Times:
    """Give when each step of a bare loop ended."""
    torch.manual_seed(recipe.seed)
    head = replace(spec.head, num_classes=len(data.classes), dropout=recipe.dropout)
    network = Network(replace(spec, head=head, drop_path=recipe.drop_path)).train()
    optimizer = make_optimizer(network, recipe)
    preprocessing = Preprocessing(spec.image)
    lesson = Lesson(recipe, preprocessing)
    sampler = StepSampler(len(data.train), batch_size=recipe.batch_size, epochs=recipe.epochs, seed=recipe.seed)
    transform = TrainTransform(preprocessing, (recipe.crop_scale, 1.0), flip=recipe.flip)
    ends = []
    for step, batch in enumerate(make_loader(Samples(data.train, transform, seed=recipe.seed), sampler)):
        set_rate(optimizer, recipe, step, steps=sampler.steps)
        loss = lesson.loss(network, batch, step=step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_grad)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        ends.append(perf_counter())
    return ends


Loop = Callable[[Backbone, ImageData, Recipe], Times]


def per_step(ends: Times) -> float:
    """Give the median time of a step; the first ones, which warm up, do not count."""
    times = [after - before for before, after in zip(ends[2:], ends[3:], strict=False)]
    return statistics.median(times)


def peak(loop: Loop, spec: Backbone, recipe: Recipe) -> float:
    """Give the peak of memory in MiB of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (loop, spec, recipe, torch.get_num_threads()))


def _peak(loop: Loop, spec: Backbone, recipe: Recipe, threads: int) -> float:
    torch.set_num_threads(threads)
    keep_freed_memory()
    loop(spec, open_flowers(), recipe)
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure, and print."""
    name = sys.argv[1] if len(sys.argv) > 1 else "coatnet_pico"
    side = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else torch.get_num_threads())
    keep_freed_memory()
    spec, data = get_spec(name).at(side), open_flowers()
    recipe = replace(Recipe(), epochs=EPOCHS, grow_from=1.0, grow_to=1.0)
    pairs = []
    for number in range(PAIRS):
        order: tuple[Loop, Loop] = (by_engine, by_hand) if number % 2 == 0 else (by_hand, by_engine)
        seconds = {each: per_step(each(spec, data, recipe)) for each in order}
        pairs.append((seconds[by_engine], seconds[by_hand]))
    ratios = [engine / bare for engine, bare in pairs]
    peaks = {each.__name__: [round(peak(each, spec, recipe)) for _ in range(3)] for each in (by_engine, by_hand)}
    record = {
        "what": "time of a step by the engine over that of a bare loop",
        "model": name,
        "image": spec.image,
        "batch_size": recipe.batch_size,
        "threads": torch.get_num_threads(),
        "pairs": PAIRS,
        "ratio_quartiles": [round(each, 4) for each in statistics.quantiles(ratios, n=4)],
        "milliseconds": [round(1000 * statistics.median(each), 2) for each in zip(*pairs, strict=True)],
        "peak_mib": peaks,
        "peak_ratio": round(statistics.median(peaks["by_engine"]) / statistics.median(peaks["by_hand"]), 4),
        "machine": describe_machine(torch.device("cpu")).device,
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "command": "python -m scripts.measure_overhead " + " ".join(sys.argv[1:]),
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
