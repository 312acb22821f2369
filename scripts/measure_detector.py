"""Measures the memory that a step of training a detector needs, in a process of its own.

    python -m scripts.measure_detector [--kind mask_rcnn] [--model botnet50] [--image 1024] [--write FILE]

The step is whole: images with twelve objects each, losses, gradients, and SGD with momentum. The peak is what the
process ever held, PyTorch and all, once before the step and once after it. Prints one line of JSON, and adds it to a
file: benchmarks/README.md explains it.
"""

import argparse
import multiprocessing
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from scripts.records import circumstances, load, publish
from visiongraft.detect.build import build_detector
from visiongraft.detect.value import Detector
from visiongraft.families.zoo import get_spec
from visiongraft.train.devices import keep_freed_memory

OBJECTS = 12
CATEGORIES = 80


def shown(batch: int, side: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Make square images of noise, each with objects of several sizes, whose masks are their boxes."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, side, side, generator=generator) for _ in range(batch)]
    targets = []
    for _ in range(batch):
        sides = side * torch.rand(OBJECTS, 2, generator=generator).clamp(min=0.02) / 2
        corners = (side - sides) * torch.rand(OBJECTS, 2, generator=generator)
        boxes = torch.cat([corners, corners + sides], 1)
        masks = torch.zeros(OBJECTS, side, side, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
            mask[top : bottom + 1, left : right + 1] = 1
        labels = torch.randint(1, CATEGORIES + 1, (OBJECTS,), generator=generator)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})
    return images, targets


def peak_mib() -> float:
    """Give the most memory that this process ever held."""
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def steps(options: dict[str, Any]) -> dict[str, object]:
    """Take steps in this process, and tell what they needed."""
    torch.set_num_threads(options["threads"])
    if options["keep_freed"]:
        keep_freed_memory()
    torch.manual_seed(0)
    side = options["image"]
    spec = Detector(
        options["kind"],
        get_spec(options["model"]).at(side),
        num_classes=CATEGORIES,
        min_size=(side,),
        max_size=side,
        norm=options["norm"],
        heads=options["heads"],
    )
    detector = build_detector(spec)
    if options["recompute"]:
        detector.backbone.body.set_grad_checkpointing()
    optimizer = torch.optim.SGD(detector.parameters(), lr=1e-4, momentum=0.9)
    images, targets = shown(options["batch"], side)
    before, seconds = peak_mib(), []
    for _ in range(options["steps"]):
        began = perf_counter()
        loss = sum(detector(images, targets).values())
        assert isinstance(loss, Tensor)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(round(perf_counter() - began, 1))
    return {"loss": loss.item(), "peak_mib_before": round(before), "peak_mib": round(peak_mib()), "seconds": seconds}


def main() -> None:
    """Measure, print, and write."""
    load_before = load()
    parser = argparse.ArgumentParser(prog="python -m scripts.measure_detector", allow_abbrev=False)
    parser.add_argument("--kind", default="mask_rcnn")
    parser.add_argument("--model", default="botnet50")
    parser.add_argument("--image", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--norm", default="train", choices=("train", "frozen"))
    parser.add_argument("--heads", default="plain", choices=("plain", "normalised"))
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--keep-freed", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    choices = {name: each for name, each in vars(options).items() if name != "write"}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(steps, (choices,))
    what = "memory of a step of training a detector in float32 on a CPU"
    publish(
        {"what": what, **choices, **found, **circumstances("measure_detector", torch.device("cpu"), load_before)},
        options.write,
    )


if __name__ == "__main__":
    main()
