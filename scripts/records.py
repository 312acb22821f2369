"""Records of measurements: lines of JSON under benchmarks/, which say on what and by which command they came about."""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from visiongraft.explain.machine import describe_machine


def load() -> float:
    """Tell what else runs on this machine: ask it before a measurement begins, which is a load itself."""
    return round(os.getloadavg()[0], 2)


def without_place(word: str) -> str:
    """Shorten a path to its last part: where things lie on a machine is nobody's business."""
    return Path(word).name if "/" in word else word


def circumstances(script: str, device: torch.device, load_before: float) -> dict[str, object]:
    """Tell what a measured number is to be read with.

    Args:
        script: the name of the script that measures, in scripts/.
        device: what computed.
        load_before: what `load` gave before it began.
    """
    machine = describe_machine(device)
    return {
        "command": shlex.join(["python", "-m", f"scripts.{script}", *map(without_place, sys.argv[1:])]),
        "machine": f"{machine.device}, {os.cpu_count()} cores, {machine.system}",
        "load_before": load_before,
        "versions": machine.versions,
        "date": machine.moment.date().isoformat(),
    }


def publish(record: Mapping[str, object], file: Path | None) -> None:
    """Print a record, and add it to a file, if there is one."""
    line = json.dumps(record)
    print(line)
    if file is not None:
        with file.open("a") as lines:
            lines.write(line + "\n")


def read(file: Path) -> Sequence[dict[str, object]]:
    """Give the records of a file, the oldest one first."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
