"""The state of a training, from which it goes on as if it had never been stopped."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from platform import node
from typing import Any

import torch
from torch import Tensor

from visiongraft.data.fingerprint import changes
from visiongraft.data.loader import Failure
from visiongraft.errors import RunError, counted
from visiongraft.files import DAMAGE, draft_of
from visiongraft.train.run import RunFolder
from visiongraft.train.team import Team

VERSION = 2
"""Of the format. The one before it is read as well: it knew no score but that of a classifier."""

_READABLE = (1, VERSION)

Metrics = dict[str, float | None]
"""One row of metrics.csv; None where the epoch was not validated."""


@dataclass
class Best:
    """The best validation so far.

    Args:
        row: its score, in named numbers.
        epoch: counted from 1.
    """

    row: dict[str, float]
    epoch: int


@dataclass
class Tally:
    """What one process has seen of the present epoch.

    Args:
        loss: sum of the losses of its images.
        terms: sums of the terms of these, where they have any.
        images: how many these are.
        seconds: how long its steps took, without validation and the writing of states.
        waited: seconds of these that passed waiting for images.
    """

    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    terms: tuple[Tensor, ...] = ()

    def to(self, device: torch.device) -> "Tally":
        """Give the same with its sums on a device."""
        return replace(self, loss=self.loss.to(device), terms=tuple(each.to(device) for each in self.terms))


@dataclass
class Progress:
    """How far a training is, and what it has found.

    Args:
        step: how many steps are done.
        seconds: how long they took, validation included.
        rows: of metrics.csv, a row for each whole epoch.
        best: the best validation so far, if there was one.
        unreadable: images that could not be read, by their names.
    """

    step: int = 0
    seconds: float = 0.0
    rows: list[Metrics] = field(default_factory=list)
    best: Best | None = None
    unreadable: dict[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """All that a training needs to go on.

    Args:
        belongs: what the training is of, as plain values: network, recipe, data and so on.
        progress: how far it is.
        tallies: of the present epoch, one of each process.
        tensors: the states of network and optimiser.
    """

    belongs: Mapping[str, Any]
    progress: Progress
    tallies: Sequence[Tally]
    tensors: Mapping[str, Any]

    def tally(self, rank: int, size: int) -> Tally:
        """Give what one process goes on from; where another number of them wrote it, the first goes on from all."""
        if size == len(self.tallies):
            return self.tallies[rank]
        first = self.tallies[0]
        if rank:
            return Tally(terms=tuple(torch.zeros_like(each) for each in first.terms))
        loss = torch.stack([each.loss for each in self.tallies]).sum()
        terms = tuple(torch.stack(each).sum() for each in zip(*(each.terms for each in self.tallies), strict=True))
        return Tally(loss, sum(each.images for each in self.tallies), first.seconds, first.waited, terms)


def write_state(run: RunFolder, state: State) -> None:
    """Write the state of a run; the former one stays beside it. A kill or a full disk leaves the files as they were.

    Raises:
        RunError: if it cannot be written.
    """
    progress = asdict(state.progress)
    progress["unreadable"] = [list(each) for each in state.progress.unreadable.values()]
    document = {
        "version": VERSION,
        "belongs": dict(state.belongs),
        "progress": progress,
        "tallies": [vars(each.to(torch.device("cpu"))) for each in state.tallies],
        "tensors": dict(state.tensors),
    }
    try:
        with draft_of(run.last) as draft:
            with draft.open("wb") as file:
                torch.save(document, file)
                file.flush()
                os.fsync(file.fileno())
            if run.last.exists():
                run.last.replace(run.before)
    except (OSError, RuntimeError) as error:
        refusal = _refusal(error)
        if refusal is None:  # as where a process that reads images died meanwhile
            raise
        why = refusal.strerror or str(refusal)
        goes_on = has_state(run) and not run.is_fruitless  # or it is removed
        kept = f" The state before it is whole: go on with `{run.verb} --resume {run.path}`." if goes_on else ""
        raise RunError(
            f"The state of the run cannot be written to {run.last}: {why}. Make room there.{kept}"
        ) from error


def _refusal(error: BaseException | None) -> OSError | None:
    """Find the system's own error behind what torch.save raised."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def has_state(run: RunFolder) -> bool:
    """Tell whether a run holds a state to go on from."""
    return run.last.exists() or run.before.exists()


def belongings(run: RunFolder) -> Mapping[str, Any] | None:
    """Tell what the state of a run is of, and read none of its tensors; None where there is none that can be read."""
    for path in (run.last, run.before):
        try:
            document = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if document["version"] in _READABLE:
                return dict(document["belongs"])
        except (*DAMAGE, UnpicklingError, MemoryError):  # which is told where the state is read
            continue
    return None


def read_state(run: RunFolder) -> tuple[State, str | None]:
    """Read the latest state of a run that is whole.

    Returns:
        The state, and what the user should know of it, if anything: that the last one was damaged.

    Raises:
        RunError: if there is none.
    """
    faults = []
    for path in (run.last, run.before):
        try:
            document = _document(path)
        except FileNotFoundError:
            continue
        except RunError:
            raise
        except (*DAMAGE, UnpicklingError, MemoryError) as error:
            faults.append(f"{path} is damaged ({_first_line(error)})")
            continue
        if not faults:
            return document, None
        return document, f"{faults[0]}: the run goes on from {path}, which is of step {document.progress.step}."
    if faults:
        raise RunError(f"{' and '.join(faults)}. Start the run again with --config {run.config}.")
    raise RunError(f"{run.path} holds no state to go on from: {run.last.name} is missing. Give the folder of a run.")


def read_in_all(run: RunFolder, team: Team) -> tuple[State, str | None]:
    """Do what `read_state` does in every process, as long as all of them find the same.

    Raises:
        RunError: in all of them, if the first one finds no state, or another one none or another.
    """
    found, fault = None, ""
    try:
        found = read_state(run)
    except RunError as error:
        fault = str(error)
    first, *others = team.gathered((found[0].progress.step if found else None, fault, node()))
    if first[1]:
        raise RunError(first[1])
    for rank, (step, _, machine) in enumerate(others, 1):
        if step != first[0]:
            there = "none" if step is None else f"one of step {step}"
            raise RunError(
                f"{run.path} has to be on a disk that all machines share: the first process finds a state of step"
                f" {first[0]} in it, and process {rank} on {machine} {there}."
            )
    assert found is not None
    return found


def _document(path: Path) -> State:
    """Read one file, once its checksums are right.

    Raises:
        RunError: if it is of another version.
        OSError, ValueError and others of `DAMAGE`: if it is damaged, or something else.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise ValueError(f"the checksum of {broken} is wrong")
    document = torch.load(path, map_location="cpu", weights_only=True)
    if document["version"] not in _READABLE:
        raise RunError(
            f"{path} is of version {document['version']} of the format, and this visiongraft reads {_READABLE[0]} to"
            f" {VERSION}. Go on with the visiongraft that wrote it."
        )
    progress = document["progress"]
    progress["best"] = _best(progress["best"]) if progress["best"] else None
    progress["unreadable"] = {each[1]: Failure(*each) for each in progress["unreadable"]}
    tallies = [Tally(**each) for each in document["tallies"]]
    return State(document["belongs"], Progress(**progress), tallies, document["tensors"])


def _best(found: Mapping[str, Any]) -> Best:
    """Read the best validation, of this version of the format or the one before."""
    row = found["row"] if "row" in found else {"val_loss": found["loss"], "val_top1": found["top1"]}
    return Best(row, found["epoch"])


def _without_classes(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out how many classes a network tells apart: that follows from the data, which is compared itself."""
    if "base" in spec:  # of a grafted network
        return {**spec, "base": _without_classes(spec["base"])}
    return {**spec, "num_classes": None, "head": {**spec.get("head", {}), "num_classes": None}}


def _name_of(spec: Mapping[str, Any]) -> str:
    if "base" in spec:
        return _name_of(spec["base"]) + " with grafts"
    if "backbone" in spec:
        return f"{spec['kind']}_{_name_of(spec['backbone'])}"
    return spec.get("name") or spec["source"]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def notes_on(now: Mapping[str, Any], before: Mapping[str, Any], run: RunFolder) -> list[str]:
    """Compare what a run is of with what its state is of, and give what the user should know.

    Raises:
        RunError: if they differ in what makes the steps.
    """
    found = []
    if _without_classes(now["spec"]) != _without_classes(before["spec"]):
        names = _name_of(before["spec"]), _name_of(now["spec"])
        found.append(f"it trains {names[0]}" + (f", not {names[1]}" if names[0] != names[1] else " in another form"))
    found += [
        f"its --{name.replace('_', '-')} is {value}, not {now['recipe'].get(name)}"
        for name, value in (_OLD_RECIPE | before["recipe"]).items()
        if value != now["recipe"].get(name)
    ]
    if now["preprocessing"] != before["preprocessing"]:
        found.append("its images go through another preprocessing")
    found += [f"its data {each}" for each in changes(before["data"], now["data"])]
    if found:
        raise RunError(
            f"The run in {run.path} cannot go on: {'; '.join(found)}. Only --device, --devices, --strategy,"
            " --compile, --cache, --workers, --save-minutes and --max-unreadable may change. Put the rest back, or"
            " begin a new run with another --output."
        )
    notes = []
    if now["devices"] != before["devices"]:
        was, is_now = counted(before["devices"], "device"), now["devices"]
        notes.append(f"The run was on {was} and goes on with {is_now}: {_OTHER_BITS}")
    elif now["strategy"] != before.get("strategy", now["strategy"]):
        notes.append(f"The run was by --strategy {before['strategy']} and goes on by {now['strategy']}: {_OTHER_BITS}")
    if now["device"] != before.get("device", now["device"]):
        notes.append(f"The run was on --device {before['device']} and goes on with {now['device']}: {_OTHER_BITS}")
    if now["steps"] != before.get("steps", "eager"):
        ways = ("without", "with") if now["steps"] == "compiled" else ("with", "without")
        notes.append(f"The run was {ways[0]} --compile and goes on {ways[1]} it: {_OTHER_BITS}")
    return notes


_OLD_RECIPE = {"keep": "best"}
"""What a recipe did before it could say it."""

_OTHER_BITS = "its last bits will differ from those of a run that stayed."
