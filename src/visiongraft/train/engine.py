"""Training, from a spec to a folder with weights. This is the one file that knows Lightning, and only its Fabric."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
from lightning.fabric.strategies.parallel import ParallelStrategy
from torch import nn

from visiongraft.data.loader import Failure, Share, StepSampler
from visiongraft.data.sets import ImageData
from visiongraft.errors import DataError, GraftError, RunError, WeightsError
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Blueprint, Grafted
from visiongraft.surgery.network import AnyNetwork, build, with_classes
from visiongraft.train.compiling import Code, compiled, compiling
from visiongraft.train.crew import Crew, Launcher
from visiongraft.train.devices import Hardware, Strategy
from visiongraft.train.evaluate import Evaluation
from visiongraft.train.freezing import freeze
from visiongraft.train.held import held
from visiongraft.train.ledger import Ledger, Listener
from visiongraft.train.loop import Training
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder
from visiongraft.train.sharding import fill, shard
from visiongraft.train.state import has_state
from visiongraft.train.step import order_of
from visiongraft.train.synced import synchronised
from visiongraft.train.team import Team
from visiongraft.weights.adapt import adapted_to, share_kept
from visiongraft.weights.imagenet import are_imagenet
from visiongraft.weights.store import Trained


@dataclass(frozen=True)
class Outcome:
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

    spec: Blueprint
    evaluation: Evaluation
    epochs: int
    best_epoch: int
    seconds: float
    run: RunFolder
    unreadable: tuple[Failure, ...]
    notes: tuple[str, ...] = ()
    stopped: bool = False


def train(
    spec: Blueprint,
    data: ImageData,
    recipe: Recipe,
    run: RunFolder,
    *,
    preprocessing: Preprocessing,
    hardware: Hardware,
    start: Trained | None = None,
    options: Mapping[str, object] | None = None,
    max_unreadable: float = 0.01,
    save_minutes: float = 1.0,
    resume: Literal["never", "allowed"] = "never",
    listener: Listener | None = None,
) -> Outcome:
    """Train a network and keep the weights that validate best, or the last ones, as the recipe wants it.

    Args:
        spec: the network; its head gets the classes of the data.
        data: what to learn from, and to validate on.
        recipe: how.
        run: the folder to make, once everything else is known to be possible.
        preprocessing: what images go through.
        hardware: what computes.
        start: weights to begin with, of another form of the network; None for random ones. Their classifier is kept
            where it tells apart the very classes of the data.
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
    _check_names(data.classes)
    crew = hardware.crew()
    _check_strategy(hardware, recipe)
    _check_ours(spec, hardware, recipe)
    share = Share(devices=crew.size, parts=recipe.grad_accum_steps)
    steps = StepSampler(
        len(data.train),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        seed=recipe.seed,
        share=share,
        order=order_of(data, recipe),
    ).steps
    with _quiet(), ExitStack() as held_meanwhile:
        fabric = _launched(recipe, hardware, crew)
        run = fabric.broadcast(run)
        team = Team.assembled(fabric.global_rank, fabric.world_size)
        team.led(lambda: held_meanwhile.enter_context(held(run.path, by="graft train")))
        goes_on = team.led(lambda: resume == "allowed" and has_state(run))
        logger = TensorBoardLogger(run.path, name="", version="")
        ledger = Ledger(
            run,
            team,
            steps=steps,
            images=len(data.train) + len(data.val),
            max_unreadable=max_unreadable,
            log=logger.log_metrics,
            listener=listener,
        )
        whole = _with(spec, data.classes, recipe)
        network, module = _set_up(fabric, team, whole, start, data.classes, recipe, code=hardware.code)
        kept = "" if start is None or isinstance(whole, Backbone) else _kept(start, network)
        training = Training(
            fabric,
            ledger,
            network,
            module,
            data,
            recipe,
            preprocessing=preprocessing,
            hardware=hardware,
            save_minutes=save_minutes,
        )
        notes = training.go_on() if goes_on else team.led(lambda: _begin(run, options or {}, resume))
        notes = [kept, *notes] if kept and not goes_on else notes
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
    progress = ledger.progress
    assert progress.best is not None
    return Outcome(
        spec=training.network.spec,
        evaluation=evaluation,
        epochs=len(progress.rows),
        best_epoch=progress.best.epoch,
        seconds=progress.seconds,
        run=run,
        unreadable=tuple(progress.unreadable.values()),
        notes=tuple(notes),
        stopped=progress.step < steps,
    )


def _begin(run: RunFolder, options: Mapping[str, object], resume: Literal["never", "allowed"]) -> list[str]:
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
            f" train anew by `graft train --config {run.config} --output` and another folder."
        )
    run.restore([], [])
    return [f"{run.path} holds no state yet: the run begins with its first step."]


def _with(spec: Blueprint, classes: tuple[str, ...], recipe: Recipe) -> Blueprint:
    """Give the network as this data and this recipe want it; those of others have rates of dropping of their own."""
    if isinstance(spec, Grafted) and isinstance(spec.base, Backbone):
        base = _with(spec.base, classes, recipe)
        assert isinstance(base, Backbone)
        return replace(spec, base=base)
    spec = with_classes(spec, len(classes))
    if not isinstance(spec, Backbone):
        return spec
    return replace(spec, head=replace(spec.head, dropout=recipe.dropout), drop_path=recipe.drop_path)


def _set_up(
    fabric: Fabric,
    team: Team,
    spec: Blueprint,
    start: Trained | None,
    classes: tuple[str, ...],
    recipe: Recipe,
    *,
    code: Code,
) -> tuple[AnyNetwork, nn.Module]:
    """Make the network, as it is before the first step, and what hands its gradients to all processes."""
    spread = isinstance(fabric.strategy, ModelParallelStrategy)
    whole = _begun(spec, start, classes, recipe) if team.leads or not spread else None
    with torch.device("meta") if spread else nullcontext():
        network = build(spec) if whole is None or spread else whole
    smallest = network.smallest_image  # which networks of others find out on a copy, before anything is around them
    assert smallest >= 1
    if team.size > 1:
        synchronised(network, fabric.device)
    freeze(network, recipe.freeze)
    # Fabric compiles what it has made of the network: PyTorch cuts compiled code where DDP sends gradients.
    module = fabric.setup_module(compiled(network) if code == "compiled" else network)
    if spread:
        assert isinstance(network, Network), "what _check_ours refuses"
        fill(network, whole if isinstance(whole, Network) else None)
    return network, module


def _begun(spec: Blueprint, start: Trained | None, classes: tuple[str, ...], recipe: Recipe) -> AnyNetwork:
    """Make the whole network, in this process' memory, with the numbers that it begins with."""
    torch.manual_seed(recipe.seed)
    if start is None:
        return build(spec)
    same = start.classes == classes or (are_imagenet(start.classes) and are_imagenet(classes))
    return adapted_to(start.network, spec, classifier="kept" if same else "fresh")


def _kept(start: Trained, network: AnyNetwork) -> str:
    """Say how much of trained weights a network begins with.

    Raises:
        WeightsError: if it is nothing, and the training would be blind to them.
    """
    share = share_kept(start.network, network)
    if not share:
        raise WeightsError(f"Nothing of the weights of {start.network.spec.name} is left in {network.spec.name}.")
    return f"{share:.1%} of the weights of {start.network.spec.name} are kept."


def _launched(recipe: Recipe, hardware: Hardware, crew: Crew) -> Fabric:
    """Start the processes that compute together; in each of them this returns."""
    alone, device = crew.size == 1, hardware.device
    fabric = Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" and alone else crew.here,
        num_nodes=crew.machines,
        strategy="auto" if alone else _STRATEGIES[hardware.strategy](crew),
        precision="bf16-mixed" if recipe.precision == "bfloat16" else "32-true",
        plugins=[_CLUSTERS[crew.launcher]()],  # Lightning by itself takes any process in a job of SLURM for srun's
    )
    fabric.launch()
    return fabric


_CLUSTERS: Mapping[Launcher, Callable[[], ClusterEnvironment]] = {
    "ourselves": LightningEnvironment,
    "torchrun": TorchElasticEnvironment,
    "SLURM": SLURMEnvironment,
}


_STRATEGIES: Mapping[Strategy, Callable[[Crew], ParallelStrategy]] = {
    "ddp": lambda _: DDPStrategy(broadcast_buffers=False),
    "fsdp": lambda crew: ModelParallelStrategy(shard, data_parallel_size=crew.size, tensor_parallel_size=1),
}


def _check_strategy(hardware: Hardware, recipe: Recipe) -> None:
    """Refuse what a network that is spread cannot do."""
    if hardware.strategy == "ddp":
        return
    if hardware.code == "compiled":
        raise GraftError("--strategy fsdp came with --compile, and the two are untried together. Leave one out.")
    if recipe.opt == "muon":
        raise GraftError("--strategy fsdp came with --opt muon, whose steps need whole matrices. Use --opt adamw.")
    if recipe.model_ema_decay:
        raise GraftError("--strategy fsdp came with --model-ema-decay, which keeps a whole network. Leave one out.")


def _check_ours(spec: Blueprint, hardware: Hardware, recipe: Recipe) -> None:
    """Refuse, for networks of others and grafted ones, what only ours tell enough of themselves for."""
    if isinstance(spec, Backbone):
        return
    if recipe.layer_decay < 1.0:
        raise GraftError(f"--layer-decay needs to know the depth of each block, which {spec.name} does not tell.")
    if hardware.strategy == "fsdp":
        raise GraftError(f"--strategy fsdp spreads the blocks of our networks. Use ddp for {spec.name}.")


def _check_names(classes: tuple[str, ...]) -> None:
    """Refuse, before any work, class names that a weight file could not hold."""
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"The class name {name!r} is no UTF-8 text. Rename its folder.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's remarks about our choices, which are made knowingly, from a user's terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # It takes what srun starts in a shell of salloc for that shell.
        warnings.filterwarnings("ignore", "The `srun` command is available")
        # Its heir is younger than the oldest PyTorch that we take.
        warnings.filterwarnings("ignore", ".*broadcast_buffers. is deprecated.*")
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
