"""What a comparison is going to do, as a value that is written down before the first run and kept."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from typing import Any

import torch

from visiongraft.data.fingerprint import fingerprint
from visiongraft.data.sets import ImageData
from visiongraft.errors import DataError, GraftError, RunError, SpecError, counted
from visiongraft.preprocessing import RGB, Preprocessing
from visiongraft.surgery.foreign import Blueprint, read_blueprint
from visiongraft.train.recipe import Recipe
from visiongraft.weights.store import Trained

FORMAT = "visiongraft.comparison/2"
"""Name and version of the plan and of what is written about a run. It rises when an older one would be misread."""

FEWEST_SEEDS = 2
"""Below, nothing tells how much chance there is in a score."""


@dataclass(frozen=True)
class Entry:
    """One network of a comparison.

    Args:
        spec: the network; its name tells it from the others.
        epochs: how long each of its runs is.
        epoch_seconds: what an epoch took when it was measured for a budget, validation included; None without one.
    """

    spec: Blueprint
    epochs: int
    epoch_seconds: float | None = None

    @property
    def name(self) -> str:
        """The network's name."""
        return self.spec.name


@dataclass(frozen=True)
class DataMark:
    """What tells a data set from another.

    Args:
        name: what the user called it.
        classes: how many there are.
        train: images to learn from.
        val: images to be scored on.
        digest: of its fingerprint.
    """

    name: str
    classes: int
    train: int
    val: int
    digest: str


@dataclass(frozen=True)
class Plan:
    """A comparison, before it is run.

    Args:
        entries: the networks, at least two, each with another name.
        seeds: of the runs of each network.
        recipe: how each is trained; its epochs and its seed are those of the run. It keeps the weights of the last
            epoch: were they those that validate best, a network with more validations would be chosen from more often,
            and score higher for it.
        data: on what.
        budget: seconds of training for all runs together, or None where the epochs were given.
        device: the kind that computes, such as "cpu".
        preset: which ablation it is, if it is one.
        preprocessing: what images go through, at the size of each network.
        begun: what tells the weights that networks begin with from others; empty for random ones.
    """

    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    recipe: Recipe
    data: DataMark
    budget: float | None
    device: str
    preset: str | None = None
    preprocessing: Preprocessing = Preprocessing()
    begun: str = ""

    def __post_init__(self) -> None:
        """Check that no image chooses what it scores.

        Raises:
            ValueError: if the recipe keeps weights by their score.
        """
        if self.recipe.keep != "last":
            raise ValueError(
                f"its recipe keeps the {self.recipe.keep} weights, and a comparison those of the last epoch"
            )

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self.entries) * len(self.seeds)

    def __iter__(self) -> Iterator[tuple[Entry, int]]:
        """Give network and seed of each run, one seed of all networks after the other."""
        return ((entry, seed) for seed in self.seeds for entry in self.entries)

    def recipe_of(self, entry: Entry, seed: int) -> Recipe:
        """Give the recipe of a run."""
        return replace(self.recipe, epochs=entry.epochs, seed=seed)

    def to_json(self) -> str:
        """Write it down."""
        entries = [
            {
                "name": each.name,
                "epochs": each.epochs,
                "epoch_seconds": each.epoch_seconds,
                "spec": each.spec.to_dict(),
            }
            for each in self.entries
        ]
        others = {name: value for name, value in asdict(self).items() if name != "entries"}
        if not self.begun:  # so plans of random weights are called what they always were
            del others["begun"]
        return json.dumps({"format": FORMAT, **others, "entries": entries}, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "Plan":
        """Read what `to_json` wrote.

        Raises:
            RunError: if it is not that.
        """
        try:
            return _plan(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, SpecError, DataError) as error:
            raise RunError(f"it is no plan of a comparison that this version can read: {error}") from error

    def differences(self, other: "Plan") -> list[str]:
        """Say in what another plan asks something else than this one, in words that follow "it has"."""
        pairs = (
            ("the models ", _names(self), _names(other)),
            ("the data ", self.data.name, other.data.name),
            ("", _length(self), _length(other)),
            ("", counted(len(self.seeds), "seed"), counted(len(other.seeds), "seed")),
            ("the device ", self.device, other.device),
        )
        found = [f"{what}{ours} and not {theirs}" for what, ours, theirs in pairs if ours != theirs]
        if self.data.name == other.data.name:
            found += _other_images(self.data, other.data)
        if _names(self) == _names(other):
            found += _other_networks(self, other)
        found += ["other weights to begin with"] if self.begun != other.begun else []
        found += _other_preprocessing(self.preprocessing, other.preprocessing)
        return found + _other_recipe(self.recipe, other.recipe)


def _names(plan: Plan) -> str:
    return ", ".join(each.name for each in plan.entries)


def _length(plan: Plan) -> str:
    if plan.budget is not None:
        return f"a budget of {plan.budget:g} s"
    return counted(plan.entries[0].epochs, "epoch")


def _other_images(ours: DataMark, theirs: DataMark) -> list[str]:
    for part in ("train", "val", "classes"):
        before, now = getattr(ours, part), getattr(theirs, part)
        if before != now:
            noun = "class" if part == "classes" else f"{part} image"
            return [f"{counted(before, noun)} and not {now:,}"]
    return ["other images or labels"] if ours.digest != theirs.digest else []


def _other_networks(ours: Plan, theirs: Plan) -> list[str]:
    pairs = list(zip(ours.entries, theirs.entries, strict=True))
    for one, other in pairs:
        if one.spec.image != other.spec.image:
            return [f"images of {'x'.join(map(str, one.spec.image))} and not {'x'.join(map(str, other.spec.image))}"]
    return [f"another network called {one.name}" for one, other in pairs if one.spec != other.spec][:1]


def _other_preprocessing(ours: Preprocessing, theirs: Preprocessing) -> list[str]:
    options = {"--mean": "mean", "--std": "std", "--interpolation": "interpolation", "--crop-pct": "crop"}
    return [
        f"{option} {_as_typed(before)} and not {_as_typed(now)}"
        for option, name in options.items()
        if (before := getattr(ours, name)) != (now := getattr(theirs, name))
    ]


def _as_typed(value: float | str | RGB) -> str:
    if isinstance(value, str):
        return value
    return ",".join(f"{each:g}" for each in value) if isinstance(value, tuple) else f"{value:g}"


def _other_recipe(ours: Recipe, theirs: Recipe) -> list[str]:
    return [
        f"--{each.name.replace('_', '-')} {getattr(ours, each.name)} and not {getattr(theirs, each.name)}"
        for each in fields(Recipe)
        if each.name not in ("epochs", "seed") and getattr(ours, each.name) != getattr(theirs, each.name)
    ]


def _plan(document: Mapping[str, Any]) -> Plan:
    found = dict(document)
    if (form := found.pop("format", None)) != FORMAT:
        raise ValueError(f"its format is {form!r}, and {FORMAT!r} was expected")
    entries = tuple(
        Entry(read_blueprint(each["spec"]), each["epochs"], each["epoch_seconds"]) for each in found.pop("entries")
    )
    recipe, data, seeds = Recipe(**found.pop("recipe")), DataMark(**found.pop("data")), tuple(found.pop("seeds"))
    shown = Preprocessing.from_dict(found.pop("preprocessing", Preprocessing().to_dict()))  # older plans say none
    return Plan(entries=entries, recipe=recipe, data=data, seeds=seeds, preprocessing=shown, **found)


def mark_of(data: ImageData) -> DataMark:
    """Describe a data set."""
    found = fingerprint(data)
    for part in (found["train"], found["val"]):
        part.pop("sample", None)  # which comparisons that were begun before do not have; each run has its own
    digest = blake2b(json.dumps(found).encode(), digest_size=16).hexdigest()
    return DataMark(data.name, len(data.classes), len(data.train), len(data.val), digest)


def mark_of_weights(starts: Mapping[str, Trained]) -> str:
    """Give a text that tells the weights that networks begin with, by the networks' names, from all others."""
    digest = blake2b(digest_size=16)
    for name, each in sorted(starts.items()):
        digest.update(name.encode())
        for tensor in each.network.state_dict().values():
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest() if starts else ""


def check_question(names: list[str], seeds: int) -> None:
    """Refuse what is no comparison.

    Raises:
        GraftError: for fewer than two networks, the same one twice, or fewer than two seeds.
    """
    if len(names) < 2:
        raise GraftError(
            f"A comparison needs at least two models, and got {', '.join(names) or 'none'}."
            " Give more, as in --models resnet_pico,botnet_pico."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise GraftError(f"--models names {twice} twice. Name each model once; its seeds are what repeats it.")
    if seeds < FEWEST_SEEDS:
        raise GraftError(
            f"--seeds must be at least {FEWEST_SEEDS}, not {seeds}: only several runs of a model show how much of its"
            " score is chance."
        )
