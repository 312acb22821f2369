"""Measures whether images arrive as fast as a network learns from them.

    python -m scripts.measure_speed [--data photos/] [--model botnet50] [--write benchmarks/speed.jsonl]

Three things take turns, in one process: the loader alone (decoding, and what a recipe does to single images), the step
alone (on a batch that is there already, with what the recipe does to whole batches), and both, as in a training. Each
is timed over some batches, round after round, so that a machine that slows down slows down all three. Images have the
size of the recipe's last epoch. Prints one line of JSON, and adds it to a file: benchmarks/README.md explains it.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from scripts.records import circumstances, load, publish, without_place
from visiongraft.data.kept import kept_in_memory
from visiongraft.data.loader import Batch, Samples, make_loader
from visiongraft.data.sampling import Share, StepSampler
from visiongraft.data.sets import ImageData
from visiongraft.data.sources import open_data
from visiongraft.families.zoo import get_spec
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.compiling import compiled, compiling
from visiongraft.train.devices import find_device, keep_freed_memory, workers_for
from visiongraft.train.optim import make_optimizer
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import find_recipe
from visiongraft.train.step import lesson_on, order_of, taken_at_once, training_transform

_EPOCHS = 10**6  # more than are begun


class Training:
    """The steps of a training, and the loader that feeds them."""

    def __init__(self, options: argparse.Namespace) -> None:
        named = find_recipe(options.recipe)
        recipe = replace(named.recipe, batch_size=options.batch_size or named.recipe.batch_size)
        precision = options.precision or recipe.precision
        self.recipe = replace(recipe.at_a_standstill(), grow_from=recipe.grow_to, precision=precision)
        self.model = options.model or named.model
        spec = get_spec(self.model)
        spec = spec.at(options.image or named.image) if options.image or named.image else spec
        self.data = kept_in_memory(open_data(options.data, data_dir=options.data_dir), options.cache)
        self.device = find_device(options.device)
        head = replace(spec.head, num_classes=len(self.data.classes), dropout=recipe.dropout)
        self.network = Network(replace(spec, head=head, drop_path=recipe.drop_path)).to(self.device).train()
        self.module: Callable[[Tensor], Tensor] = compiled(self.network) if options.compile else self.network
        self.optimizer = make_optimizer(self.network, self.recipe)
        self.image = self.recipe.image_at(0, spec.image, smallest=self.network.smallest_image)
        self.workers = workers_for(options.workers, in_memory=taken_at_once(self.data, self.recipe))
        self.batches = self._loader(self.data, self.recipe)
        smallest = self.network.smallest_image
        pre = Preprocessing(self.image)
        self.lesson = lesson_on(self.data, self.recipe, pre, share=Share(), smallest=smallest)
        self.steps = 0

    def _loader(self, data: ImageData, recipe: Recipe) -> Iterator[Batch]:
        transform = training_transform(recipe, Preprocessing(self.image))
        size, order = recipe.batch_size, order_of(data, recipe)
        sampler = StepSampler(len(data.train), batch_size=size, epochs=_EPOCHS, seed=recipe.seed, order=order)
        memory = "pinned" if self.device.type == "cuda" else "pageable"
        return iter(make_loader(Samples(data.train, transform), sampler, workers=self.workers, memory=memory))

    def learn(self, batch: Batch) -> None:
        """Take one step."""
        half = self.recipe.precision == "bfloat16"
        precise = torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext()

        def forward(pixels: Tensor) -> Tensor:
            with precise:
                return self.module(pixels)

        self.lesson.loss(forward, batch.to(self.device), step=self.steps).backward()
        if self.recipe.clip_grad:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize()

    def drain(self) -> None:
        """Take what processes have prepared in advance, or the loader would look faster than it is."""
        for _ in islice(self.batches, 2 * self.workers):
            pass


def rounds_of(training: Training, rounds: int, steps: int) -> Iterator[tuple[float, float, float, float]]:
    """Time loader, step and both over some batches; give images per second of each, and the share of waiting."""
    images = steps * training.recipe.batch_size
    held = next(training.batches).to(training.device)
    for number in range(rounds + 1):
        training.drain()
        began = perf_counter()
        for _ in islice(training.batches, steps):
            pass
        delivery = perf_counter() - began
        # Processes fill their queues, which would slow down the steps.
        time.sleep(2 * training.workers * delivery / steps if training.workers else 0.0)
        training.wait()
        began = perf_counter()
        for _ in range(steps):
            training.learn(held)
        training.wait()
        step = perf_counter() - began
        training.drain()
        waited, began = 0.0, perf_counter()
        for _ in range(steps):
            asked = perf_counter()
            batch = next(training.batches)
            waited += perf_counter() - asked
            training.learn(batch)
        training.wait()
        both = perf_counter() - began
        if number:  # in the first one, memory is taken and code compiled
            yield images / delivery, images / step, images / both, waited / both


def quartiles(numbers: Sequence[float], digits: int) -> list[float]:
    """Give the first quartile, the median and the third."""
    return [round(each, digits) for each in statistics.quantiles(numbers, n=4)]


def record(options: argparse.Namespace) -> dict[str, object]:
    """Measure."""
    load_before = load()
    keep_freed_memory()
    training = Training(options)
    with compiling("compiled" if options.compile else "eager"):
        found = list(rounds_of(training, options.rounds, options.steps))
    delivery, step, both, waited = zip(*found, strict=True)
    return {
        "what": "images per second of the loader alone, the step alone, and both: quartiles",
        "data": without_place(training.data.name),
        "images": len(training.data.train),
        "model": training.model,
        "recipe": options.recipe,
        "image": list(training.image),
        "batch_size": training.recipe.batch_size,
        "workers": training.workers,
        "in_memory": hasattr(training.data.train, "pixels"),
        "precision": training.recipe.precision,
        "compiled": options.compile,
        "rounds": options.rounds,
        "steps_a_round": options.steps,
        "loader": quartiles(delivery, 1),
        "step": quartiles(step, 1),
        "both": quartiles(both, 1),
        "both_over_the_slower": quartiles([c / min(a, b) for a, b, c, _ in found], 4),
        "both_over_step": quartiles([c / b for _, b, c, _ in found], 4),
        "wait_share": quartiles(waited, 4),
        **circumstances("measure_speed", training.device, load_before),
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m scripts.measure_speed", allow_abbrev=False)
    parser.add_argument("--data")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--recipe", default="small_data")
    for name in ("--image", "--batch-size"):
        parser.add_argument(name, type=int)
    parser.add_argument("--workers", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", default="auto", choices=("auto", "ram", "none"))
    parser.add_argument("--precision", choices=("float32", "bfloat16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    publish(record(options), options.write)


if __name__ == "__main__":
    main()
