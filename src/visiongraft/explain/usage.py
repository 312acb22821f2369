"""Commands and lines of Python, ready to be copied."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from visiongraft.kernels.types import Grid


def flag(name: str) -> str:
    """Write the name of an option as a command spells it."""
    return "--" + name.replace("_", "-")


def command(verb: str, words: Sequence[object], options: Mapping[str, object]) -> str:
    """Write a command of `graft` for a shell.

    Args:
        verb: such as "train", or "detect train".
        words: what stands without a name, in order.
        options: by their names in Python; those that are None or False are left out.
    """
    parts = ["graft", *verb.split(), *map(str, words)]
    for name, value in options.items():
        if value is True:
            parts.append(flag(name))
        elif value is not None and value is not False:
            parts += [flag(name), str(value)]
    return shlex.join(parts)


def as_module(weights: Path, image: Grid) -> str:
    """Write how a network is loaded, at its own image size and at one that is half as large again."""
    larger = tuple(side * 3 // 2 for side in image)
    size = larger[0] if larger[0] == larger[1] else larger
    return f"""import visiongraft as vg

network = vg.load({str(weights)!r})  # in eval mode, on the CPU
larger = vg.load({str(weights)!r}, image={size})  # the same weights for larger images"""


def on_files(weights: Path) -> str:
    """Write how a network is asked for the classes of files."""
    return f"""from pathlib import Path

import torch
import visiongraft as vg
from visiongraft.deploy.predict import predict

model = vg.read_weights({str(weights)!r})
for each in predict(model, [Path("photo.jpg")], device=torch.device("cpu")):
    print(each.file, each.top)"""


def as_detector(weights: Path) -> str:
    """Write how a detector is loaded, and asked for the objects of an image."""
    return f"""import torch
import visiongraft as vg

detector = vg.detect.load({str(weights)!r})  # of torchvision's class, in eval mode, on the CPU
(found,) = detector([torch.rand(3, 480, 640)])  # an image from 0 to 1, of any size
print(found["boxes"], found["labels"], found["scores"])"""
