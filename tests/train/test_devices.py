"""Two processes take the steps of one: the same batches, the same draws, the same normalisation, the same score."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from tests.once import Once
from tests.pictures import SIDE, write_npz
from tests.train.endings import ending, same
from tests.train.pair import OPTIONS, WAYS, rows, train_together
from visiongraft.data.sources import open_data
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import Outcome, train
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
GRAFT = [sys.executable, "-m", "visiongraft", "train"]


@dataclass(frozen=True)
class Pair:
    """Runs of two processes.

    Args:
        data: what they learnt from.
        runs: a run by its way.
        resumed: the same runs, killed before their last state and taken up again.
    """

    data: Path
    runs: dict[str, RunFolder]
    resumed: dict[str, RunFolder]


@pytest.fixture(scope="module")
def pair(once: Once) -> Pair:
    place = once("two processes", train_together)
    found = {way: RunFolder(place / way) for way in WAYS}
    return Pair(place / "stripes.npz", found, {way: RunFolder(place / f"{way}, resumed") for way in WAYS})


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_take_the_steps_of_one(pair: Pair, way: str, tmp_path: Path) -> None:
    folder = plan_run(tmp_path / "one", name="")
    alone(pair, way, folder)
    for one, together in zip(rows(folder), rows(pair.runs[way]), strict=True):
        assert together["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
        assert together["val_loss"] == pytest.approx(one["val_loss"], rel=1e-3)
        assert together["lr"] == one["lr"]


def alone(pair: Pair, way: str, folder: RunFolder, **more) -> Outcome:
    """Train as the pair did, in this process."""
    spec = get_spec("coatnet_pico").at(SIDE)
    assert spec.image == (24, 24)
    _, choices = WAYS[way]
    shown, hardware = Preprocessing(spec.image), Hardware(torch.device("cpu"))
    recipe = replace(RECIPE, **choices)
    return train(Classifying(spec, open_data(pair.data), recipe, shown), folder, hardware=hardware, **more)


@pytest.mark.parametrize("way", WAYS)
def test_the_score_of_two_processes_is_that_of_one_to_the_last_bit(pair: Pair, way: str) -> None:
    model = read(pair.runs[way].best)
    found = evaluate(model.network, open_data(pair.data).val, model.preprocessing)
    assert model.scores == {"val_top1": found.top1, "val_loss": found.loss}


@pytest.mark.parametrize("way", WAYS)
def test_the_files_of_two_processes_are_those_of_one(pair: Pair, way: str) -> None:
    run = pair.runs[way]
    state, note = read_state(run)
    assert note is None
    assert state.belongs["devices"] == 2
    assert len(state.tallies) == 2
    names = {each.name for each in run.path.iterdir() if not each.name.startswith("events.")}
    assert names == {"before.ckpt", "best.safetensors", "config.yaml", "last.ckpt", "metrics.csv", "report.html"}


@pytest.mark.parametrize("way", WAYS)
def test_a_network_that_is_spread_goes_on_from_its_state(pair: Pair, way: str) -> None:
    assert same(ending(pair.resumed[way]), ending(pair.runs[way]))


@pytest.mark.parametrize("way", WAYS)
def test_one_process_goes_on_with_the_run_of_two_and_says_so(pair: Pair, way: str, tmp_path: Path) -> None:
    folder = RunFolder(Path(shutil.copytree(pair.runs[way].path, tmp_path / "one")))
    folder.last.unlink()
    outcome = alone(pair, way, folder, resume="allowed")
    assert outcome.notes == (
        "The run was on 2 devices and goes on with 1: its last bits will differ from those of a run that stayed.",
    )
    # Rounding decides the sign of Adam's steps for biases that have no gradient: a whole epoch adds up to 4e-5.
    wanted = pytest.approx([row["train_loss"] for row in rows(pair.runs[way])], rel=1e-4)
    assert [row["train_loss"] for row in rows(folder)] == wanted


def test_a_process_that_dies_takes_the_others_with_it_and_the_run_goes_on(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=64)
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
