"""Training, from values to a folder with weights."""

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from torch import nn

from visiongraft.data.loader import Failure
from visiongraft.data.sampling import Share
from visiongraft.errors import GraftError, RunError
from visiongraft.network import Network
from visiongraft.surgery.foreign import Blueprint
from visiongraft.train.compiling import compiled, compiling
from visiongraft.train.computing import Computing
from visiongraft.train.course import Course
from visiongraft.train.devices import Hardware
from visiongraft.train.evaluate import Evaluation
from visiongraft.train.held import held
from visiongraft.train.ledger import Ledger, Listener
from visiongraft.train.loop import Training
from visiongraft.train.run import RunFolder
from visiongraft.train.sharding import fill
from visiongraft.train.state import Progress, has_state
from visiongraft.train.synced import synchronised
from visiongraft.train.task import E, Job, P
from visiongraft.train.team import Team

S = TypeVar("S")

Resume = Literal["never", "allowed"]
"""Whether a training goes on from the state in its folder, if there is one."""


@dataclass(frozen=True)
class Ended(Generic[S, E]):
    """What a training gave.

    Args:
        spec: of the network, with the classes of the data.
        evaluation: of the weights that were kept, on the validation images.
        epochs: how many were finished or, by Ctrl-C, begun.
        best_epoch: the one whose weights were kept, counted from 1.
        seconds: duration of training, validation included.
        run: the folder with the weights and everything else.
        unreadable: images that could not be read.
        notes: what the user should know of how the run went on.
        stopped: whether Ctrl-C ended it before its last step.
    """

    spec: S
    evaluation: E
    epochs: int
    best_epoch: int
    seconds: float
    run: RunFolder
    unreadable: tuple[Failure, ...]
    notes: tuple[str, ...] = ()
    stopped: bool = False


Outcome = Ended[Blueprint, Evaluation]
"""What the training of a classifier gave."""


def train(
    job: Job[S, P, E],
    run: RunFolder,
    *,
    hardware: Hardware,
    options: Mapping[str, object] | None = None,
    max_unreadable: float = 0.01,
    save_minutes: float = 1.0,
    resume: Resume = "never",
    listener: Listener | None = None,
) -> Ended[S, E]:
    """Train what a job says and keep the weights that validate best, or the last ones, as its recipe wants it.

    Args:
        job: what is trained, and how: a `Classifying`, or a `Detecting`.
        run: the folder to make, once everything else is known to be possible.
        hardware: what computes.
        options: what to write into the run's config.yaml.
        max_unreadable: share of the images that may be unreadable before the run stops, in [0, 1]; above 0, one always
            may.
        save_minutes: time between two writings of the state, at least 0, which is after every step; on a GPU, or with
            several processes, after every tenth.
        resume: "allowed" goes on from the state in the folder, if there is one; the end is then, to the bit, that of
            a run that was never stopped.
        listener: told of every step and epoch.

    Ctrl-C ends the run after the present step: it is validated and saved as if its time were over.

    Raises:
        DivergedError: when the loss is no longer a number; the best weights so far stay in the run folder. A run that
            fails before it has any leaves no folder.
        DataError: when too many images cannot be read, or a batch is larger than the data.
        RunError: when the folder holds another run, or its state is of another one or cannot be read or written, or
            another process trains in it.
    """
    course, crew = job.recipe, hardware.crew()
    _check_strategy(hardware, course)
    job.check(hardware)
    steps = job.steps(Share(devices=crew.size, parts=course.grad_accum_steps))
    from visiongraft.train.fabric import curves_in, launched, quiet  # Lightning, which nobody waits for before

    with quiet(), ExitStack() as held_meanwhile:
        fabric = launched(course, hardware, crew)
        run = fabric.broadcast(run)
        team = Team.assembled(fabric.global_rank, fabric.world_size)
        team.led(lambda: held_meanwhile.enter_context(held(run.path, by=run.verb)))
        goes_on = team.led(lambda: resume == "allowed" and has_state(run))
        logger = curves_in(run)
        ledger = Ledger(
            run,
            team,
            steps=steps,
            images=job.images,
            max_unreadable=max_unreadable,
            log=logger.log_metrics,
            listener=listener,
        )
        network, module, kept = _set_up(fabric, team, job, hardware)
        task = job.task(network, Share(team.rank, team.size, course.grad_accum_steps), hardware)
        training = Training(fabric, ledger, task, module, course, hardware=hardware, save_minutes=save_minutes)
        notes = training.go_on() if goes_on else [*kept, *team.led(lambda: _begin(run, options or {}, resume))]
        if notes or goes_on:
            ledger.go_on(notes)
        try:
            with compiling(hardware.code):
                evaluation = training.through()
        except BaseException:
            if team.leads and not goes_on:  # or hours of another run's steps would go with it
                run.discard_if_fruitless()
            raise
        finally:
            logger.finalize("")
    return _ended(job.spec, evaluation, ledger, notes)


def _ended(spec: S, evaluation: E, ledger: Ledger, notes: list[str]) -> Ended[S, E]:
    """Sum up what a training gave."""
    progress: Progress = ledger.progress
    assert progress.best is not None
    return Ended(
        spec=spec,
        evaluation=evaluation,
        epochs=len(progress.rows),
        best_epoch=progress.best.epoch,
        seconds=progress.seconds,
        run=ledger.run,
        unreadable=tuple(progress.unreadable.values()),
        notes=tuple(notes),
        stopped=progress.step < ledger.steps,
    )


def _begin(run: RunFolder, options: Mapping[str, object], resume: Resume) -> list[str]:
    """Make the folder; where a run was killed before it had a state, it is there already.

    Raises:
        RunError: if the run has begun and its states are gone.
    """
    if resume == "never" or not run.config.exists():
        run.create(options)
        return []
    if run.has_begun:
        raise RunError(
            f"{run.path} cannot go on: its states, {run.last.name} and {run.before.name}, are gone. Put one back, or"
            f" train anew by `{run.verb} --config {run.config} --output` and another folder."
        )
    run.restore([], [])
    return [f"{run.path} holds no state yet: the run begins with its first step."]


def _set_up(
    computing: Computing, team: Team, job: Job[S, P, E], hardware: Hardware
) -> tuple[nn.Module, nn.Module, tuple[str, ...]]:
    """Make the network, as it is before the first step, and what hands its gradients to all processes.

    Returns:
        The two, and what the user should know of the numbers that the network begins with.
    """
    spread = team.size > 1 and hardware.strategy == "fsdp"
    whole, kept = job.begun() if team.leads or not spread else (None, ())
    with torch.device("meta") if spread else nullcontext():
        network = job.outlined() if whole is None or spread else whole
    if team.size > 1 and job.norms == "together":
        synchronised(network, computing.device)
    # Fabric compiles what it has made of the network: PyTorch cuts compiled code where DDP sends gradients.
    module = computing.setup_module(compiled(network) if hardware.code == "compiled" else network)
    if spread:
        assert isinstance(network, Network), "what Classifying refuses"
        fill(network, whole if isinstance(whole, Network) else None)
    return network, module, kept


def _check_strategy(hardware: Hardware, course: Course) -> None:
    """Refuse what a network that is spread cannot do."""
    if hardware.strategy == "ddp":
        return
    if hardware.code == "compiled":
        raise GraftError("--strategy fsdp came with --compile, and the two are untried together. Leave one out.")
    if course.opt == "muon":
        raise GraftError("--strategy fsdp came with --opt muon, whose steps need whole matrices. Use --opt adamw.")
    if course.model_ema_decay:
        raise GraftError("--strategy fsdp came with --model-ema-decay, which keeps a whole network. Leave one out.")
