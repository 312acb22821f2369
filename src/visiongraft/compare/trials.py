"""Runs a comparison: plans it, trains what is not trained yet, and measures how fast the networks answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from visiongraft.compare.budget import measure_paces, share_out
from visiongraft.compare.folder import ComparisonFolder, Failed, Result
from visiongraft.compare.plan import Entry, Plan
from visiongraft.compare.speed import measure_speeds
from visiongraft.compare.table import Comparison, make_rows
from visiongraft.data.sets import ImageData
from visiongraft.errors import DivergedError, RunError, ToldToEndError
from visiongraft.surgery.foreign import Blueprint
from visiongraft.surgery.network import with_classes
from visiongraft.surgery.typed import as_typed
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import Outcome, train
from visiongraft.train.state import Metrics, has_state
from visiongraft.weights.store import Trained

BATCH = 32
"""Images at a time where it is measured how many a network answers in a second."""


class Witness(Protocol):
    """Someone who wants to know how a comparison goes, while it goes."""

    def timing(self, name: str) -> None:
        """Hear that a network is timed, to plan its share of the budget."""

    def planned(self, plan: Plan, finished: int) -> None:
        """Hear what will be run, and how many runs are finished already."""

    def begun(self, entry: Entry, seed: int) -> None:
        """Hear that a run begins."""

    def step(self, done: int, steps: int) -> None:
        """Hear of a step of the present run."""

    def note(self, text: str) -> None:
        """Hear what the user should know of how a run went on."""

    def ended(self, result: Result | Failed) -> None:
        """Hear what a run gave."""


@dataclass(frozen=True)
class Circumstances:
    """What a comparison needs beside its plan.

    Args:
        data: what the plan says.
        folder: where everything is written.
        device: where to compute.
        workers: processes that read images beside this one.
        max_unreadable: share of the images that may be unreadable before a run stops.
        options: for the config.yaml of each run, beside its model, epochs and seed.
        witness: told of what happens.
        starts: the weights that networks begin with, by the network's name; none for random ones.
    """

    data: ImageData
    folder: ComparisonFolder
    device: torch.device
    workers: int
    max_unreadable: float
    options: Mapping[str, object]
    witness: Witness
    starts: Mapping[str, Trained] = field(default_factory=dict)


def run_comparison(asked: Plan, around: Circumstances, *, reference: str | None = None) -> Comparison:
    """Train each network with each seed, as far as that is not done, and compare them.

    Args:
        asked: the plan. Where it has a budget, the epochs of its networks are still open.
        around: where and with what.
        reference: the network that the others are compared with; by default the first.

    A run that diverges does not stop the others: its network is not compared, and the table says why. Where Ctrl-C or
    a kill ended a run, the next call goes on.

    Raises:
        RunError: if the folder holds another comparison, or cannot be written.
        GraftError: if the budget is too small.
        DataError: if too many images cannot be read.
        KeyboardInterrupt: by Ctrl-C.
    """
    folder = around.folder
    with folder.held():
        plan = _settled(asked, around)
        kept = {(entry.name, seed): folder.read_result(entry.name, seed) for entry, seed in plan}
        around.witness.planned(plan, sum(each is not None for each in kept.values()))
        outcomes = {
            (entry.name, seed): kept[entry.name, seed] or _run(plan, entry, seed, around) for entry, seed in plan
        }
        specs = [_with_classes(entry, around.data) for entry in plan.entries]
        against = reference or plan.entries[0].name
        place = [entry.name for entry in plan.entries].index(against)
        latencies, throughputs = (
            measure_speeds(specs, device=around.device, batch_size=size, reference=place) for size in (1, BATCH)
        )
        rows = make_rows(plan, specs, outcomes, latencies=latencies, throughputs=throughputs, reference=against)
        found = Comparison(plan, folder, rows, against)
        folder.write_table(found.as_csv())
    return found


def _settled(asked: Plan, around: Circumstances) -> Plan:
    """Give the plan that was written down before, or write down the one that is asked for.

    Raises:
        RunError: if the folder holds another comparison.
    """
    kept = around.folder.read_plan()
    if kept is not None:
        if other := kept.differences(asked):
            raise RunError(
                f"{around.folder.path} holds another comparison: it has {'; '.join(other)}. Give another --output, or"
                " what it has."
            )
        return kept
    plan = asked if asked.budget is None else _within_budget(asked, asked.budget, around)
    around.folder.write_plan(plan)
    return plan


def _within_budget(asked: Plan, budget: float, around: Circumstances) -> Plan:
    """Time each network, and give it the epochs that its share of the budget allows."""
    paces = measure_paces(
        [entry.spec for entry in asked.entries],
        around.data,
        asked.recipe,
        device=around.device,
        workers=around.workers,
        max_unreadable=around.max_unreadable,
        on_network=around.witness.timing,
    )
    epochs = share_out(budget, paces, len(asked.seeds), asked.recipe)
    entries = (
        Entry(
            each.spec, epochs[each.name], paces[each.name].seconds(epochs[each.name], asked.recipe) / epochs[each.name]
        )
        for each in asked.entries
    )
    return replace(asked, entries=tuple(entries))


def _run(plan: Plan, entry: Entry, seed: int, around: Circumstances) -> Result | Failed:
    """Train a network with a seed, or go on with a training that was stopped, and write down what came of it.

    Raises:
        KeyboardInterrupt: by Ctrl-C, which ends the training early: its result would be one of less training.
        RunError: if the run's folder cannot be written, or the system told the process to end.
    """
    around.witness.begun(entry, seed)
    run = around.folder.run(entry.name, seed)
    if run.has_begun and not has_state(run):  # its result was deleted, and its states when it ended
        run.discard()
    recipe, shown = plan.recipe_of(entry, seed), plan.preprocessing.at(entry.spec.image)
    result: Result | Failed
    try:
        outcome = train(
            Classifying(entry.spec, around.data, recipe, shown, around.starts.get(entry.name)),
            run,
            hardware=Hardware(around.device, workers=around.workers),
            options={**as_typed(entry.spec), **around.options, "epochs": entry.epochs, "seed": seed},
            max_unreadable=around.max_unreadable,
            resume="allowed",
            listener=_Relay(around.witness),
        )
    except ToldToEndError as error:
        raise RunError(
            f"The comparison was told to end. It is saved in {around.folder.path}, and the same `graft compare`"
            " command goes on."
        ) from error
    except DivergedError as error:
        result = Failed(entry.name, seed, str(error))
    else:
        if outcome.stopped:
            raise KeyboardInterrupt
        result = _result(entry, seed, outcome)
    around.folder.write_result(result)
    for state in run.path.glob("*.ckpt"):  # as large as the network and its optimiser, and of no more use
        state.unlink()
    around.witness.ended(result)
    return result


def _result(entry: Entry, seed: int, outcome: Outcome) -> Result:
    found = outcome.evaluation
    return Result(
        model=entry.name,
        seed=seed,
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        top1=found.top1,
        loss=found.loss,
        indices=found.indices,
        labels=found.labels,
        predictions=found.predictions,
    )


@dataclass(frozen=True)
class _Relay:
    """A listener of one run that tells the witness."""

    witness: Witness

    def go_on(self, done: int, steps: int, notes: Sequence[str]) -> None:
        """Hear that a run is taken up again."""
        del done, steps
        for note in notes:
            self.witness.note(note)

    def step(self, done: int, steps: int, loss: float) -> None:
        """Hear of a step."""
        del loss
        self.witness.step(done, steps)

    def epoch(self, row: Metrics) -> None:
        """Hear of an epoch."""


def _with_classes(entry: Entry, data: ImageData) -> Blueprint:
    return with_classes(entry.spec, len(data.classes))
