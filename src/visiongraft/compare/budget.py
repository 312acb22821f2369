"""How long each network may train, so that all of them together take the time that there is."""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from visiongraft.data.sets import ArrayImages, FileImages, ImageData, ImageSet
from visiongraft.data.shards import ShardImages
from visiongraft.errors import GraftError
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import Blueprint
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import train
from visiongraft.train.ledger import LOG_EVERY
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder
from visiongraft.train.state import Metrics

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ROUNDS, _SIZES = 3, 3  # turns of each network, sizes of the growing images in each
_STEPS_HEARD = 3  # at each size
_IMAGES_TO_SCORE = 128  # in each turn


def parse_budget(text: str) -> float:
    """Read a time: 90s, 20m, 1.5h, 1h30m.

    Returns:
        Seconds, above 0.

    Raises:
        GraftError: if it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.strip().lower())
    whole = "".join(number + unit for number, unit in parts) == text.strip().lower()
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not parts or not whole or seconds <= 0:
        raise GraftError(f"--budget takes a time with its unit, as 90s, 20m or 1.5h, and got {text!r}.")
    return seconds


def as_budget(seconds: float) -> str:
    """Write a time as `parse_budget` takes it, rounded up."""
    if seconds < 100:
        return f"{int(-(-seconds // 1))}s"
    return f"{int(-(-seconds // 60))}m"


@dataclass(frozen=True)
class Pace:
    """How fast a network trains here.

    Args:
        step_seconds: of a step, at the first, the middle and the last size of the training images.
        steps: in an epoch.
        score_seconds: of scoring all validation images.
    """

    step_seconds: tuple[float, ...]
    steps: int
    score_seconds: float

    def seconds(self, epochs: int, recipe: Recipe) -> float:
        """Foretell how long a run of so many epochs takes.

        Sizes grow along a line and costs with their square, so Simpson's rule gives the mean step from three of them.
        """
        first, middle, last = self.step_seconds
        step = (first + 4 * middle + last) / 6 if epochs > 1 else first
        scored = {1, epochs, *range(recipe.val_every, epochs + 1, recipe.val_every)}
        return epochs * self.steps * step + len(scored) * self.score_seconds

    def epochs_within(self, seconds: float, recipe: Recipe) -> int:
        """Give how many epochs fit into a time; 0 where not even one does."""
        fitting, too_many = 0, 1
        while self.seconds(too_many, recipe) <= seconds:
            fitting, too_many = too_many, 2 * too_many
        while too_many - fitting > 1:
            middle = (fitting + too_many) // 2
            fitting, too_many = (middle, too_many) if self.seconds(middle, recipe) <= seconds else (fitting, middle)
        return fitting


def share_out(budget: float, paces: Mapping[str, Pace], seeds: int, recipe: Recipe) -> dict[str, int]:
    """Give each network's epochs: every run gets the same share of the time.

    Args:
        budget: seconds of all runs together.
        paces: of the networks, by name.
        seeds: runs of each.
        recipe: what all are trained with.

    Raises:
        GraftError: if the slowest could not finish one epoch.
    """
    share = budget / (len(paces) * seeds)
    slowest = max(paces, key=lambda name: paces[name].seconds(1, recipe))
    one = paces[slowest].seconds(1, recipe)
    if one > share:
        raise GraftError(
            f"--budget {as_budget(budget)} is too small: an epoch of {slowest}, the slowest, takes about {one:.1f} s,"
            f" and each of the {len(paces) * seeds} runs gets {share:.1f} s. Give at least"
            f" --budget {as_budget(one * len(paces) * seeds)}, or fewer models or seeds."
        )
    return {name: pace.epochs_within(share, recipe) for name, pace in paces.items()}


@dataclass
class _Stopwatch:
    """A listener that times steps, by the epoch in which they were. It need not hear of each of them."""

    seconds: list[list[float]] = field(default_factory=lambda: [[]])
    score_seconds: float = 0.0  # of one image
    _done: int = 0
    _last: float | None = None  # the first step also pays for what is made once, and is not timed

    def go_on(self, done: int, steps: int, notes: Sequence[str]) -> None:
        """Hear that a run is taken up again."""

    def step(self, done: int, steps: int, loss: float) -> None:
        """Hear of a step."""
        del steps, loss
        now = perf_counter()
        if self._last is not None:
            self.seconds[-1].append((now - self._last) / (done - self._done))
        self._done, self._last = done, now

    def epoch(self, row: Metrics) -> None:
        """Hear of an epoch."""
        self.seconds.append([])
        self._done, self._last = int(row["step"] or 0), perf_counter()


def measure_paces(
    specs: Sequence[Blueprint],
    data: ImageData,
    recipe: Recipe,
    *,
    device: torch.device,
    workers: int = 0,
    max_unreadable: float = 0.01,
    on_network: Callable[[str], None] = lambda _: None,
) -> dict[str, Pace]:
    """Time a few steps and the scoring of a few images of each network, by short trainings on a part of the data.

    They take turns, several times, since a machine's speed drifts. What is learnt is thrown away. Where images grow,
    three sizes are timed.

    Args:
        specs: the networks.
        data: what they will be trained on.
        recipe: how.
        device: where to compute.
        workers: processes that read images beside this one.
        max_unreadable: share of the images that may be unreadable.
        on_network: told whose turn it is.

    Raises:
        KeyboardInterrupt: by Ctrl-C.
    """
    # On a GPU a training tells one step in so many, and the last of an epoch.
    enough = _STEPS_HEARD if device.type == "cpu" else LOG_EVERY + _STEPS_HEARD - 1
    batches = max(min(len(data.train) // recipe.batch_size, enough), 1)
    part = replace(data, train=_part(data.train, batches * recipe.batch_size), val=_part(data.val, _IMAGES_TO_SCORE))
    looks: dict[str, list[_Stopwatch]] = {spec.name: [] for spec in specs}
    for _ in range(_ROUNDS):
        for spec in specs:
            on_network(spec.name)
            looks[spec.name].append(_timed(spec, part, recipe, device, workers, max_unreadable))
    steps = len(data.train) // recipe.batch_size
    return {name: _pace(found, steps, len(data.val)) for name, found in looks.items()}


def _timed(
    spec: Blueprint, data: ImageData, recipe: Recipe, device: torch.device, workers: int, max_unreadable: float
) -> _Stopwatch:
    """Train for a moment, with a watch."""
    watch = _Stopwatch()
    brief = replace(recipe.at_a_standstill(), epochs=_SIZES, val_every=_SIZES)
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(
            Classifying(spec, data, brief, Preprocessing(spec.image)),
            RunFolder(Path(folder, "run")),
            hardware=Hardware(device, workers=workers),
            max_unreadable=max_unreadable,
            listener=watch,
        )
    if outcome.stopped:
        raise KeyboardInterrupt
    watch.score_seconds = outcome.evaluation.seconds / outcome.evaluation.images
    return watch


def _pace(looks: Sequence[_Stopwatch], steps: int, images: int) -> Pace:
    """Take the medians over all turns.

    The first steps of an epoch also wait for the loader, and count only where there are no other ones. A first size of
    which nothing could be timed counts as the next one, which is no smaller.
    """
    sizes = [[each.seconds[size] for each in looks] for size in range(_SIZES)]
    typical = []
    for epochs in sizes:
        later = [seconds for epoch in epochs for seconds in epoch[1:]]
        typical.append(median(later or [seconds for epoch in epochs for seconds in epoch] or [0.0]))
    typical[0] = typical[0] or typical[1]
    return Pace(tuple(typical), steps, median(each.score_seconds for each in looks) * images)


def _part(images: ImageSet, count: int) -> ImageSet:
    """Give some of the images, from all over the set; the first ones of shards, which are fetched chunk by chunk."""
    if count >= len(images):
        return images
    if isinstance(images, ShardImages):
        return images.subset(range(count))
    chosen = np.linspace(0, len(images) - 1, count).astype(int).tolist()
    if isinstance(images, FileImages):
        return images.subset(chosen)
    assert isinstance(images, ArrayImages), "what open_data gives"
    names = tuple(images.names[index] for index in chosen) if images.names else ()
    return replace(images, pixels=images.pixels[chosen], labels=images.labels[chosen], names=names)
