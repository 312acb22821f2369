"""Two processes take the steps of one: the same batches, the same draws, the same normalisation, the same score."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.pictures import SIDE, write_npz
from tests.train.endings import ending, same
from visiongraft.data.sources import open_data
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import train
from visiongraft.train.evaluate import evaluate
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder, plan_run
from visiongraft.train.state import read_state
from visiongraft.weights.store import read

RECIPE = Recipe(
    epochs=2,
    batch_size=16,
    drop_path=0.0,
    lr=2e-3,
    warmup_epochs=0.5,
    val_every=1,
    mixup=0.4,
    cutmix=1.0,
    cutout=4,
    reprob=0.5,
    multi_scale=0.2,
    sampler="balanced",
)
OPTIONS = (
    "--image 24 --epochs 2 --batch-size 16 --drop-path 0 --lr 2e-3 --warmup-epochs 0.5 --val-every 1 --device cpu"
    " --mixup 0.4 --cutmix 1 --cutout 4 --reprob 0.5 --multi-scale 0.2 --sampler balanced"
    " --devices 2 --save-minutes 0"
)
GRAFT = [sys.executable, "-m", "visiongraft", "train"]


def rows(folder: RunFolder) -> list[dict[str, float]]:
    with folder.metrics.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(tmp_path_factory.mktemp("data") / "stripes.npz", train=64)


WAYS = {
    "ddp": {"model_ema_decay": 0.5, "opt": "muon"},
    "fsdp": {"opt": "adamw"},
}
"""What each strategy trains with beside that: not all goes with both."""


@pytest.fixture(scope="module", params=list(WAYS))
def two(data: Path, request: pytest.FixtureRequest) -> RunFolder:
    """A run of two processes, that of the command line."""
    folder = RunFolder(data.parent / request.param)
    words = [*GRAFT, "--data", str(data), "--output", str(folder.path), "--strategy", request.param, *OPTIONS.split()]
    words += [
        word for name, value in WAYS[request.param].items() for word in (f"--{name.replace('_', '-')}", f"{value}")
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("val top-1") == 1  # one process speaks for both
    assert done.stderr.count("epoch   1") == 1
    return folder


def test_two_processes_take_the_steps_of_one(data: Path, two: RunFolder, tmp_path: Path) -> None:
    spec = get_spec("coatnet_pico").at(SIDE)
    assert spec.image == (24, 24)
    folder = plan_run(tmp_path / "one", name="")
    train(
        spec,
        open_data(data),
        replace(RECIPE, **WAYS[two.path.name]),
        folder,
        preprocessing=Preprocessing(spec.image),
        hardware=Hardware(torch.device("cpu")),
    )
    for alone, together in zip(rows(folder), rows(two), strict=True):
        assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-5)
        assert together["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-3)
        assert together["lr"] == alone["lr"]


def test_the_score_of_two_processes_is_that_of_one_to_the_last_bit(data: Path, two: RunFolder) -> None:
    model = read(two.best)
    found = evaluate(model.network, open_data(data).val, model.preprocessing)
    assert model.scores == {"val_top1": found.top1, "val_loss": found.loss}


def test_the_files_of_two_processes_are_those_of_one(two: RunFolder) -> None:
    state, note = read_state(two)
    assert note is None
    assert state.belongs["devices"] == 2
    assert len(state.tallies) == 2
    names = {each.name for each in two.path.iterdir() if not each.name.startswith("events.")}
    assert names == {"before.ckpt", "best.safetensors", "config.yaml", "last.ckpt", "metrics.csv", "report.html"}


def test_a_network_that_is_spread_goes_on_from_its_state(two: RunFolder, data: Path) -> None:
    whole = ending(two)
    two.last.unlink()  # as if it had never been written
    done = subprocess.run(
        [*GRAFT, "--resume", str(two.path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert same(ending(two), whole)


def test_one_process_goes_on_with_the_run_of_two_and_says_so(data: Path, two: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(Path(shutil.copytree(two.path, tmp_path / "one")))
    folder.last.unlink()
    spec = get_spec("coatnet_pico").at(SIDE)
    outcome = train(
        spec,
        open_data(data),
        replace(RECIPE, **WAYS[two.path.name]),
        folder,
        preprocessing=Preprocessing(spec.image),
        hardware=Hardware(torch.device("cpu")),
        resume="allowed",
    )
    assert outcome.notes == (
        "The run was on 2 devices and goes on with 1: its last bits will differ from those of a run that stayed.",
    )
    # Rounding decides the sign of Adam's steps for biases that have no gradient: a whole epoch adds up to 4e-5.
    wanted = pytest.approx([row["train_loss"] for row in rows(two)], rel=1e-4)
    assert [row["train_loss"] for row in rows(folder)] == wanted


def test_a_process_that_dies_takes_the_others_with_it_and_the_run_goes_on(data: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    options = OPTIONS.replace("--epochs 2", "--epochs 2000").split()
    words = [*GRAFT, "--data", str(data), "--output", str(folder.path)]
    running = subprocess.Popen([*words, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 200
    while not folder.before.exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    children = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    _, complaint = running.communicate(timeout=120)
    assert running.returncode != 0
    last = complaint.strip().splitlines()[-1]
    assert last.startswith("graft: Another process of this training ended")
    assert "Traceback" not in complaint
    assert read_state(folder)[0].progress.step > 0
