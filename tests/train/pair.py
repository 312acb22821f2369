"""A pair of processes that trains in all ways that tests ask for: to start it takes longer than the trainings."""

import csv
import json
import subprocess
import sys
from pathlib import Path

from tests.detect.test_training import write_scenes
from tests.pictures import write_folder, write_npz
from visiongraft.cli.main import main
from visiongraft.data.sampling import Share, StepSampler
from visiongraft.data.sources import open_data
from visiongraft.train.devices import Strategy
from visiongraft.train.run import RunFolder

OPTIONS = (
    "--image 24 --epochs 2 --batch-size 16 --drop-path 0 --lr 2e-3 --warmup-epochs 0.5 --val-every 1 --device cpu"
    " --mixup 0.4 --cutmix 1 --cutout 4 --reprob 0.5 --multi-scale 0.2 --sampler balanced"
    " --devices 2 --save-minutes 0"
)

WAYS: dict[str, tuple[Strategy, dict[str, object]]] = {
    "fsdp": ("fsdp", {"opt": "adamw"}),
    "ddp": ("ddp", {"model_ema_decay": 0.5, "opt": "muon"}),
    "fsdp, lamb": ("fsdp", {"opt": "lamb", "clip_grad": 0.0}),
    "fsdp, frozen": ("fsdp", {"opt": "sgd", "layer_decay": 0.8, "freeze": "stem"}),
}
"""The strategies, and what each trains with beside the recipe: not all goes with both. The first starts the pair."""

MISSING = (
    "--model coatnet_pico --image 24 --epochs 2 --batch-size 8 --grad-accum-steps 2 --drop-path 0 --lr 0.05"
    " --warmup-epochs 0.5 --val-every 1 --device cpu --mixup 0.4 --reprob 0.5 --max-unreadable 1 --workers 0 --opt sgd"
    " --clip-grad 0"
)
"""What a run on images that cannot be read is told."""


PLUGIN = """
from dataclasses import dataclass
from torch import nn

@dataclass(frozen=True)
class Window:
    kernel: int = 3

    def build(self, site):
        return nn.Conv2d(site.in_width, site.width, self.kernel, stride=site.stride, padding=self.kernel // 2)
"""
"""A mixer in a file of a user's."""

GRAFTED = (
    *("--model", "timm:test_efficientnet", "--model-ema-decay", "0.5", "--opt", "muon", "--graft-lose", "groups"),
    *("--graft", "blocks.4.*.conv_dw=Window(kernel=5); blocks.3.0+=GridAttention(heads=2)"),
)
"""A network of others, with batch-norms of a class of its own, and what is grafted into it."""


DETECTOR = (
    *("--backbone", "resnet_pico", "--min-size", "32", "--max-size", "48", "--width", "32", "--epochs", "1"),
    *("--batch-size", "2", "--val-every", "1", "--workers", "0", "--warmup-epochs", "0"),
)
"""A detector that learns in seconds."""


def rows(folder: RunFolder) -> list[dict[str, float]]:
    with folder.metrics.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def train_together(place: Path) -> None:
    """Train in all ways by the command line, and each run once more from its state before the last one.

    The last training is on images of which some cannot be read.
    """
    data = write_npz(place / "stripes.npz", train=64)
    steps: list[list[str]] = []
    for way, (strategy, choices) in WAYS.items():
        words = [word for name, value in choices.items() for word in (f"--{name.replace('_', '-')}", f"{value}")]
        run, again = str(place / way), str(place / f"{way}, resumed")
        train = ["graft", "train", "--data", str(data), "--output", run, "--strategy", strategy]
        steps += [[*train, *OPTIONS.split(), *words], ["copy", run, again], ["graft", "train", "--resume", again]]
    steps += _grafted(place, data) + _detecting(place)
    spoil(place / "spoilt")
    missing = ["graft", "train", "--data", str(place / "spoilt"), "--output", str(place / "missing"), *MISSING.split()]
    steps.append([*missing, "--devices", "2"])
    program = [sys.executable, "-m", "tests.train.together", json.dumps(steps)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("val top-1") == 2 * len(WAYS) + 3  # one process speaks for both
    assert done.stdout.count("box AP") == 3
    assert done.stderr.count("epoch   1") == len(WAYS) + 3


def _grafted(place: Path, data: Path) -> list[list[str]]:
    """Give the steps of a grafted network with a mixer of a user's own."""
    plugin, run, again = place / "mine.py", str(place / "grafted"), str(place / "grafted, resumed")
    plugin.write_text(PLUGIN)
    train = ["graft", "train", "--data", str(data), "--output", run, "--plugin", str(plugin)]
    return [[*train, *OPTIONS.split(), *GRAFTED], ["copy", run, again], ["graft", "train", "--resume", again]]


def _detecting(place: Path) -> list[list[str]]:
    """Give the steps of a detector."""
    data, run, again = write_scenes(place / "scenes"), str(place / "detector"), str(place / "detector, resumed")
    train = ["graft", "detect", "train", "--data", str(data), "--output", run, *DETECTOR]
    more = ["--devices", "2", "--device", "cpu", "--save-minutes", "0", "--epochs", "2", "--model-ema-decay", "0.5"]
    alone = RunFolder(place / "detector alone")
    assert main([*train[1:5], "--output", str(alone.path), *DETECTOR, "--save-minutes", "0", "--epochs", "2"]) == 0
    alone.last.unlink()
    return [
        *([*train, *more], ["copy", run, again], ["graft", "detect", "train", "--resume", again]),
        ["graft", "detect", "train", "--resume", str(alone.path), *more[:4]],
        ["judge", str(data), str(place / "judged.pt")],
    ]


def spoil(data: Path) -> None:
    """Write images of which, in the first step, the second process can read none in its last part.

    In the second step, only one of the last part can be read at all.
    """
    pictures = open_data(write_folder(data, train=16, val=8)).train
    sampler = StepSampler(16, batch_size=8, epochs=1, seed=0, share=Share(1, 2, 2))
    other = StepSampler(16, batch_size=8, epochs=1, seed=0, share=Share(0, 2, 2))
    for draws in (list(sampler)[1], list(sampler)[3], list(other)[3][:1]):
        for draw in draws:
            Path(pictures.name_of(draw.index)).write_bytes(b"junk")
