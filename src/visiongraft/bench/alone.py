"""One contender in a process of its own: the memory that it takes, and how long its first answer takes.

    python -m visiongraft.bench.alone '{"case": {...}, "contender": "ours", "device": "cpu"}' THREADS

Prints one line of JSON. `visiongraft.bench.race` starts it.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import torch

from visiongraft.bench.case import Case, action
from visiongraft.bench.contenders import OURS, contenders
from visiongraft.families.zoo import get_spec
from visiongraft.turns import wait


def peak_mib(device: torch.device) -> float | None:
    """Give the most memory that this process has taken so far, in MiB; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")  # getrusage would count the process that started this one
    if not status.exists():
        return None
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure, and print."""
    question = json.loads(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    document = question["case"]
    case, device = Case(**{**document, "image": tuple(document["image"])}), torch.device(question["device"])
    peers = [] if question["contender"] == OURS else [question["contender"]]
    field = contenders(case, peers, device=device)
    (contender,) = [each for each in field if each.name == question["contender"]]
    del field
    images = contender.images(case, get_spec(case.model).in_chans, device)
    before, began = peak_mib(device), perf_counter()
    call = action(contender.network, case, images)
    call()
    wait(device)
    first = perf_counter() - began
    call()
    wait(device)
    after = peak_mib(device)
    rise = None if before is None or after is None else round(after - before, 1)
    sys.stdout.write(json.dumps({"peak_mib": rise, "first_seconds": round(first, 4)}) + "\n")


if __name__ == "__main__":
    main()
