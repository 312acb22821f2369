"""Measures what `graft convert` needs at the most, in memory, for a checkpoint of random numbers by timm's names.

    python -m scripts.measure_conversion [NAME]

Writes the checkpoint and our file into a temporary folder: twice the size of the weights, 2.75 GB for the largest.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from visiongraft.families.zoo import get_spec
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.renaming import wanted_tensors

LARGEST = "coatnet_5_224"


def write_checkpoint(name: str, path: Path) -> None:
    """Write random weights by timm's names, as a checkpoint of PyTorch."""
    wanted = wanted_tensors(get_spec(name), SOURCES["timm"][name])
    tensors = {theirs: torch.rand(each.foreign_shape) for theirs, each in wanted.items()}
    counters = {theirs: each.long() for theirs, each in tensors.items() if theirs.endswith("num_batches_tracked")}
    torch.save({"state_dict": tensors | counters}, path)


def main(name: str) -> dict[str, object]:
    """Convert in a process of its own, and give its peak beside the size of the file."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.pth"), Path(folder, "out.safetensors")
        subprocess.run([sys.executable, __file__, name, source], check=True)  # holds the weights once, and so is below
        words = [Path(sys.executable).with_name("graft"), "convert", source, target, "--from", "timm", "--model", name]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        size = source.stat().st_size
    return {"name": name, "file": size, "peak": peak, "ratio": round(peak / size, 2), "torch": torch.__version__}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        write_checkpoint(sys.argv[1], Path(sys.argv[2]))
    else:
        print(json.dumps(main(sys.argv[1] if len(sys.argv) > 1 else LARGEST)))
