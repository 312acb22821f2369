"""Which device computes."""

import ctypes
import os
from dataclasses import dataclass
from typing import Literal

import torch

from visiongraft.errors import GraftError, counted
from visiongraft.train.compiling import Code
from visiongraft.train.crew import Crew, find_crew


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
        if device.type != "cuda":
            torch.empty(1, device=device).item()  # also tells the meta device, which has no numbers, from the others
        elif (device.index or 0) >= torch.cuda.device_count():
            raise RuntimeError  # to try one would take memory of it for each of the processes that train together
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

    def crew(self) -> Crew:
        """Count the processes that compute.

        Raises:
            GraftError: if the user asks for another number than was started, or there are not so many devices.
        """
        crew = find_crew(self.devices)
        if crew.size > 1:
            _check_several(self.device, crew)
        return crew


def _check_several(device: torch.device, crew: Crew) -> None:
    """Refuse several processes that would not have a device each."""
    if device.type == "cpu":
        return
    asked = f"--devices {crew.here} came"
    if crew.launcher != "ourselves":
        where = "this machine" if crew.here > 1 else f"{crew.machines} machines"
        asked = f"{crew.launcher} has started {crew.here if crew.here > 1 else crew.size} processes on {where}"
    if device.index is not None or device.type == "mps":
        usual = (
            "Give --device cuda, which takes the first ones" if device.type == "cuda" else "Use one, or --device cpu"
        )
        raise GraftError(f"{asked}, and --device {device} is one device. {usual}.")
    if crew.here > (count := torch.cuda.device_count()):
        raise GraftError(
            f"{asked}, and PyTorch finds {counted(count, 'GPU')} here. Use as many processes as GPUs, and let each"
            " process see all of them."
        )


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
