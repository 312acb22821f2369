"""On what, with what and when something was computed: what a published number is to be read with."""

import platform
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch


@dataclass(frozen=True)
class Machine:
    """The circumstances of a computation.

    Args:
        device: what computed, as its maker calls it.
        system: the operating system.
        versions: of what decides about numbers, by name.
        moment: when, in local time.
    """

    device: str
    system: str
    versions: dict[str, str]
    moment: datetime


def describe_machine(device: torch.device) -> Machine:
    """Describe this machine, now."""
    package = sys.modules[__name__.partition(".")[0]]  # whoever imports this file has imported its package
    versions = {
        "visiongraft": package.__version__,
        "PyTorch": torch.__version__,
        "Python": platform.python_version(),
    }
    return Machine(
        _device_name(device), f"{platform.system()} {platform.machine()}", versions, datetime.now().astimezone()
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{_processor_name()}, {threads} thread{'s' if threads > 1 else ''}"
    return device.type


def _processor_name() -> str:
    """Give the model name, which Linux keeps in a file and others tell Python."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
