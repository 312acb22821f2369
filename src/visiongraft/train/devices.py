"""Which device computes."""

import ctypes
import os
from dataclasses import dataclass
from typing import Literal

import torch

from visiongraft.errors import GraftError
from visiongraft.train.compiling import Code


def find_device(name: str) -> torch.device:
    """Give the device that a user named.

    Args:
        name: "auto" for the fastest there is, or "cpu", "cuda", "cuda:1", "mps".

    Raises:
        GraftError: if this machine has no such device.
    """
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # also tells the meta device, which has no numbers, from the others
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        here += ["mps"] if torch.backends.mps.is_available() else []
        raise GraftError(
            f"There is no device {name!r} here. PyTorch finds {', '.join(here)}: use one of them, or auto."
        ) from error
    return device


Strategy = Literal["ddp", "fsdp"]
"""How several processes hold a network: each of them all of it, or each a part of every tensor."""


@dataclass(frozen=True)
class Hardware:
    """What computes a training.

    Args:
        device: where to compute.
        devices: how many of that kind compute together on this machine, each in a process of its own. Where torchrun
            or SLURM has started the processes, their number counts.
        strategy: how they hold the network.
        workers: processes that read images beside each one that computes.
        code: how the network computes while it learns; it is judged as it is written.
    """

    device: torch.device
    devices: int = 1
    strategy: Strategy = "ddp"
    workers: int = 0
    code: Code = "eager"


@dataclass(frozen=True)
class Crew:
    """How many processes train together.

    Args:
        here: on this machine.
        machines: how many machines there are.
    """

    here: int = 1
    machines: int = 1

    @property
    def size(self) -> int:
        """How many they are in all."""
        return self.here * self.machines


def find_crew(devices: int) -> Crew:
    """Count the processes: those that torchrun or SLURM has started, or else as many as there are to be devices.

    Raises:
        GraftError: if the user asks for another number than was started.
    """
    told = os.environ
    if "LOCAL_WORLD_SIZE" in told:
        launcher, here, all_of_them = "torchrun", int(told["LOCAL_WORLD_SIZE"]), int(told["WORLD_SIZE"])
    elif int(told.get("SLURM_NTASKS", "1")) > 1 and told.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        launcher, all_of_them = "SLURM", int(told["SLURM_NTASKS"])
        here = all_of_them // int(told.get("SLURM_NNODES", "1"))
    else:
        return Crew(devices)
    if devices not in (1, here):
        raise GraftError(
            f"--devices {devices} came, and {launcher} has started {here} processes on this machine. Leave it out."
        )
    return Crew(here, all_of_them // here)


def leads() -> bool:
    """Tell whether this is the process that writes files and talks, or the only one."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


def is_a_restart() -> bool:
    """Tell whether torchrun or SLURM has started this process again, after one of the processes had ended."""
    return any(os.environ.get(name, "0") != "0" for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


def workers_for(count: str | int, *, in_memory: bool) -> int:
    """Give the number of processes that read images: none for images in memory, else one per spare core, up to 8.

    Args:
        count: a number, or "auto".
        in_memory: whether the images are decoded already.
    """
    if count != "auto":
        if not str(count).isdecimal():
            raise GraftError(f"--workers takes auto or a number from 0, and got {str(count)!r}.")
        return int(count)
    return 0 if in_memory else min(max((os.cpu_count() or 1) - 1, 1), 8)


def keep_freed_memory() -> None:
    """Let this process reuse the memory that a training step freed, instead of handing it back to the system.

    Each step on a CPU allocates and frees the same few hundred megabytes. glibc returns large pieces at once, and the
    system then has to clear every page anew: about 20,000 page faults a step for the default network. It concerns the
    whole process, so a program calls it, never a library. Where there is no glibc, nothing happens.
    """
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # the names of <malloc.h>
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_threshold, 32 << 20)  # the largest that glibc takes; larger tensors still come and go
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 256 << 20)
