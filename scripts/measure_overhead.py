"""Measures what the engine costs over a bare loop in PyTorch that takes the same steps.

    python -m scripts.measure_overhead [MODEL] [IMAGE] [THREADS]

Trains on the bundled flowers, at one image size, with the default recipe's step. After every step of the engine, a
bare loop takes one in the same process, and so the two are interleaved step by step. It holds nothing but loading,
loss, gradients, clipping and the optimiser. The peak of memory is measured in processes of their own. Prints one JSON
object: medians and quartiles of the ratios, machine and versions.
"""

import multiprocessing
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch

from scripts.records import circumstances, load, publish
from visiongraft.data.flowers import open_flowers
from visiongraft.data.loader import Samples, make_loader
from visiongraft.data.sampling import StepSampler
from visiongraft.data.sets import ImageData
from visiongraft.families.zoo import get_spec
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware, keep_freed_memory
from visiongraft.train.engine import train
from visiongraft.train.evaluate import evaluate
from visiongraft.train.optim import make_optimizer
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder
from visiongraft.train.schedule import set_rate
from visiongraft.train.step import Lesson, training_transform

EPOCHS = 10


class BareLoop:
    """What remains of a training when nothing but its steps is left."""

    def __init__(self, spec: Backbone, data: ImageData, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        head = replace(spec.head, num_classes=len(data.classes), dropout=recipe.dropout)
        self.network = Network(replace(spec, head=head, drop_path=recipe.drop_path)).train()
        self.optimizer = make_optimizer(self.network, recipe)
        self.recipe = recipe
        preprocessing = Preprocessing(spec.image)
        self.lesson = Lesson(recipe, preprocessing)
        sampler = StepSampler(len(data.train), batch_size=recipe.batch_size, epochs=recipe.epochs, seed=recipe.seed)
        samples = Samples(data.train, training_transform(recipe, preprocessing), seed=recipe.seed)
        self.steps = sampler.steps
        self.batches = enumerate(make_loader(samples, sampler))

    def step(self) -> None:
        """Take one."""
        number, batch = next(self.batches)
        set_rate(self.optimizer, self.recipe, number, steps=self.steps)
        loss = self.lesson.loss(self.network, batch, step=number)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss.item()


class Watch:
    """A listener that takes a bare step after each of the engine's, and times both."""

    def __init__(self, bare: BareLoop) -> None:
        self.bare = bare
        self.left: float | None = None
        self.pairs: list[tuple[float, float]] = []

    def go_on(self, done: int, steps: int, notes: object) -> None:
        """Do nothing: no run is taken up again."""

    def step(self, done: int, steps: int, loss: float) -> None:
        """Time the engine's step, then take another."""
        del done, steps, loss
        arrived = perf_counter()
        self.bare.step()
        gone = perf_counter()
        if self.left is not None:
            self.pairs.append((arrived - self.left, gone - arrived))
        self.left = gone

    def epoch(self, row: object) -> None:
        """Leave out the time of the validation."""
        del row
        self.left = None


class Silent:
    """A listener that does nothing."""

    def go_on(self, done: int, steps: int, notes: object) -> None:
        """Do nothing."""

    def step(self, done: int, steps: int, loss: float) -> None:
        """Do nothing."""

    def epoch(self, row: object) -> None:
        """Do nothing."""


def by_engine(spec: Backbone, data: ImageData, recipe: Recipe, listener: Watch | Silent) -> None:
    """Train."""
    with tempfile.TemporaryDirectory() as folder:
        train(
            Classifying(spec, data, recipe, Preprocessing(spec.image)),
            RunFolder(Path(folder, "run")),
            hardware=Hardware(torch.device("cpu")),
            listener=listener,
        )


def by_hand(spec: Backbone, data: ImageData, recipe: Recipe) -> None:
    """Take all steps of a bare loop, and judge what came of it, as the engine does."""
    bare = BareLoop(spec, data, recipe)
    for _ in range(bare.steps):
        bare.step()
    evaluate(bare.network, data.val, Preprocessing(spec.image))


def peak(way: str, spec: Backbone, recipe: Recipe) -> float:
    """Give the peak of memory in MiB of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (way, spec, recipe, torch.get_num_threads()))


def _peak(way: str, spec: Backbone, recipe: Recipe, threads: int) -> float:
    torch.set_num_threads(threads)
    keep_freed_memory()
    if way == "engine":
        by_engine(spec, open_flowers(), recipe, Silent())
    else:
        by_hand(spec, open_flowers(), recipe)
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure, and print."""
    load_before = load()
    name = sys.argv[1] if len(sys.argv) > 1 else "coatnet_pico"
    side = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else torch.get_num_threads())
    keep_freed_memory()
    spec, data = get_spec(name).at(side), open_flowers()
    recipe = replace(Recipe(), epochs=EPOCHS, grow_from=1.0, grow_to=1.0, val_every=EPOCHS)
    watch = Watch(BareLoop(spec, data, recipe))
    by_engine(spec, data, recipe, watch)
    brief = replace(recipe, epochs=1)
    peaks = {way: [round(peak(way, spec, brief)) for _ in range(3)] for way in ("engine", "bare loop")}
    record = {
        "what": "time of a step by the engine over that of a bare loop",
        "model": name,
        "image": spec.image,
        "batch_size": recipe.batch_size,
        "threads": torch.get_num_threads(),
        "pairs": len(watch.pairs),
        "ratio_quartiles": [round(each, 4) for each in statistics.quantiles((a / b for a, b in watch.pairs), n=4)],
        "milliseconds": [round(1000 * statistics.median(each), 2) for each in zip(*watch.pairs, strict=True)],
        "peak_mib": peaks,
        "peak_ratio": round(statistics.median(peaks["engine"]) / statistics.median(peaks["bare loop"]), 4),
        **circumstances("measure_overhead", torch.device("cpu"), load_before),
    }
    publish(record, None)


if __name__ == "__main__":
    main()
