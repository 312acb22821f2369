"""Comparisons whose trainings are played: what would be learnt is known, and takes no time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from visiongraft.compare import trials
from visiongraft.compare.folder import ComparisonFolder, Failed, Result
from visiongraft.compare.plan import Entry, Plan, mark_of
from visiongraft.compare.speed import Speed
from visiongraft.compare.table import Comparison
from visiongraft.compare.trials import Circumstances, run_comparison
from visiongraft.data.loader import Failure
from visiongraft.data.sets import ArrayImages, ImageData
from visiongraft.errors import DivergedError, ToldToEndError
from visiongraft.families.zoo import get_spec
from visiongraft.train.classification import Classifying
from visiongraft.train.engine import Outcome
from visiongraft.train.evaluate import Evaluation
from visiongraft.train.recipe import Recipe

CLASSES = ("ant", "bee")
IMAGES = 40
NAMES = ("resnet_pico", "botnet_pico", "cotnet_pico")


@dataclass
class Stage:
    """Where a comparison is played.

    Args:
        path: the folder of the comparison.
        right: how many of the images a network names rightly with a seed; the first ones of the set.
        events: runs that do something else: "diverge", "interrupt", "order" (by the system, to end) or "kill".
        trained: networks and seeds, as they were trained.
        unreadable: whether one of the images cannot be read.
        told: what the witness heard.
    """

    path: Path
    right: Mapping[str, tuple[int, ...]]
    events: dict[tuple[str, int], str] = field(default_factory=dict)
    trained: list[tuple[str, int]] = field(default_factory=list)
    unreadable: bool = False
    told: list[str] = field(default_factory=list)

    def train(self, job: Classifying, run, **more) -> Outcome:
        """Play a training."""
        spec, data, recipe = job.asked, job.data, job.recipe
        key = (spec.name, recipe.seed)
        self.trained.append(key)
        event = self.events.pop(key, "")
        assert more["resume"] == "allowed"
        assert recipe.keep == "last"
        notes = ("Its last bits will differ.",) if run.config.exists() else ()
        if notes:
            more["listener"].go_on(1, 2, notes)
        else:
            run.create(more["options"])
        more["listener"].step(1, 2, 1.0)
        run.last.write_bytes(b"state")
        if event == "kill":
            raise RuntimeError("killed")
        if event == "order":
            raise ToldToEndError("Go on with `graft train`.")
        if event == "diverge":
            raise DivergedError("At step 1 of 2 the loss is nan. Use a lower --lr.")
        if event != "interrupt":
            more["listener"].step(2, 2, 0.5)
        right = np.arange(IMAGES) < self.right[spec.name][recipe.seed]
        labels = data.val.labels
        predictions = np.where(right, labels, 1 - labels)
        probabilities = np.full((IMAGES, 2), 0.1, np.float32)
        probabilities[np.arange(IMAGES), predictions] = 0.9
        found = Evaluation(probabilities, labels, np.arange(IMAGES), 0.5, (), 1.0)
        unreadable = (Failure(1, "train/0001.png", "it is cut short"),) if self.unreadable else ()
        return Outcome(spec, found, recipe.epochs, 1, 10.0, run, unreadable, notes, stopped=event == "interrupt")

    def run(self, *, names: tuple[str, ...] = NAMES, reference: str | None = None, **changes) -> Comparison:
        """Run, or go on with, a comparison."""
        around = Circumstances(DATA, ComparisonFolder(self.path), torch.device("cpu"), 0, 0.01, {"data": "x"}, self)
        return run_comparison(plan(names, **changes), around, reference=reference)

    def timing(self, name: str) -> None:
        self.told.append(f"timing {name}")

    def planned(self, plan: Plan, finished: int) -> None:
        self.told.append(f"{len(plan)} runs, {finished} finished")

    def begun(self, entry: Entry, seed: int) -> None:
        self.told.append(f"{entry.name} {seed}")

    def step(self, done: int, steps: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.told.append(text)

    def ended(self, result: Result | Failed) -> None:
        self.told.append("failed" if isinstance(result, Failed) else f"{result.top1:.3f}")


def images(name: str, count: int) -> ArrayImages:
    return ArrayImages(name, np.zeros((count, 8, 8, 3), np.uint8), np.arange(count) % 2)


DATA = ImageData("insects", CLASSES, images("train", 64), images("val", IMAGES))


def plan(names: tuple[str, ...] = NAMES, **changes) -> Plan:
    entries = tuple(Entry(get_spec(name).at(24), 2) for name in names)
    return replace(Plan(entries, (0, 1, 2), Recipe(batch_size=16, keep="last"), mark_of(DATA), None, "cpu"), **changes)


def speeds(specs, **_: object) -> tuple[Speed, ...]:
    return tuple(
        Speed(0.001 * (place + 1), place + 1.0, (place + 0.9, place + 1.1), 31) for place in range(len(specs))
    )


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """Give a function that sets the stage: right answers by name, and events by (name, seed)."""

    def set_up(events: dict[tuple[str, int], str] | None = None, **right: tuple[int, ...]) -> Stage:
        usual = {"resnet_pico": (20, 21, 22), "botnet_pico": (30, 31, 32), "cotnet_pico": (20, 22, 21)}
        found = Stage(tmp_path / "comparison", {**usual, **right}, events or {})
        monkeypatch.setattr(trials, "train", found.train)
        monkeypatch.setattr(trials, "measure_speeds", speeds)
        return found

    return set_up
