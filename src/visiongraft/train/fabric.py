"""What Lightning does for a training: processes, devices, precision and curves. The one file that knows Lightning."""

import atexit
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.plugins.precision.amp import MixedPrecision
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
from lightning.fabric.strategies.parallel import ParallelStrategy
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from visiongraft.train.course import Course
from visiongraft.train.crew import Crew, Launcher, is_a_restart
from visiongraft.train.devices import Hardware, Strategy
from visiongraft.train.run import RunFolder
from visiongraft.train.sharding import shard


def launched(course: Course, hardware: Hardware, crew: Crew) -> Fabric:
    """Start the processes that compute together; in each of them this returns."""
    alone, device = crew.size == 1, hardware.device
    fabric = Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" and alone else crew.here,
        num_nodes=crew.machines,
        strategy="auto" if alone else _STRATEGIES[hardware.strategy](crew),
        # Lightning by itself takes any process in a job of SLURM for srun's
        plugins=[_CLUSTERS[crew.launcher](), *([_HalfInside(device)] if course.precision == "bfloat16" else [])],
    )
    if crew.launcher == "torchrun" and is_a_restart():
        _meet_again(fabric.device)
    fabric.launch()
    return fabric


class _HalfInside(MixedPrecision):
    """Lets layers compute in bfloat16, and leaves what they are shown as it is.

    Lightning would round all of that first, boxes of objects with it, which at 1000 pixels are then off by up to 4.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__("bf16-mixed", device.type)

    def convert_input(self, data: Any) -> Any:  # noqa: ANN401 - whatever a network takes
        """Give the same."""
        return data


def _meet_again(device: torch.device) -> None:
    """Let processes that torchrun has started again find one another, in a place that those before them did not use.

    The usual one, unless torchrun was given --rdzv-backend c10d, is the same after a restart, with all that was
    written there before: processes would call those that are dead (PyTorch 2.15, StaticTCPRendezvous).
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, number, size = next(rendezvous("env://"))
    dist.init_process_group(
        dist.get_default_backend_for_device(device),
        store=PrefixStore(f"restart {os.environ['TORCHELASTIC_RESTART_COUNT']}", store),
        rank=number,
        world_size=size,
        device_id=device if device.type == "cuda" else None,
    )
    atexit.register(dist.destroy_process_group)  # as Lightning does where it lets them meet


_CLUSTERS: Mapping[Launcher, Callable[[], ClusterEnvironment]] = {
    "ourselves": LightningEnvironment,
    "torchrun": TorchElasticEnvironment,
    "SLURM": SLURMEnvironment,
}

_STRATEGIES: Mapping[Strategy, Callable[[Crew], ParallelStrategy]] = {
    "ddp": lambda _: DDPStrategy(broadcast_buffers=False),
    "fsdp": lambda crew: ModelParallelStrategy(shard, data_parallel_size=crew.size, tensor_parallel_size=1),
}


def curves_in(run: RunFolder) -> TensorBoardLogger:
    """Give what writes TensorBoard's curves into the folder of a run."""
    return TensorBoardLogger(run.path, name="", version="")


@contextmanager
def quiet() -> Iterator[None]:
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
