"""Kills training runs at random moments, takes them up again, and sees that each ends as if nothing had happened.

    python -m scripts.soak [KILLS] [SEED]

Every run is a process of its own, which is ended by SIGKILL after a random time of its duration, and then resumed by
another process. The ends are compared with those of runs that nobody killed, to the bit: weights, optimiser, best
weights, rows and lists of images. One line per kill; the exit code is 1 if any of them differs.
"""

import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import torch

from tests.pictures import SIDE, write_folder, write_npz
from tests.train.endings import ending, same
from visiongraft.cli.main import main
from visiongraft.data.kept import kept_in_memory
from visiongraft.data.packing import write_shards
from visiongraft.data.sources import open_data
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import train
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder
from visiongraft.train.state import read_state

_BASE = Recipe(
    epochs=4, batch_size=16, lr=2e-3, warmup_epochs=1, val_every=2, drop_path=0.2, dropout=0.1, rotation=10.0
)


@dataclass(frozen=True)
class Case:
    """One kind of run.

    Args:
        recipe: how it trains.
        model: what it trains.
        images: "arrays" in memory; "files", one of them damaged; such files "kept" in memory; or "shards".
        workers: processes that read them.
        save_minutes: between two states.
        by: what trains: the engine, or the command `graft train`, which goes on by `--resume`.
    """

    recipe: Recipe
    model: str = "coatnet_pico"
    images: Literal["arrays", "files", "kept", "shards"] = "arrays"
    workers: int = 0
    save_minutes: float = 0.0
    by: Literal["engine", "command"] = "engine"


_MIXED = replace(_BASE, mixup=0.4, cutmix=1.0, mixup_prob=0.9, reprob=0.5, model_ema_decay=0.8)

CASES = {
    "muon, mixed, averaged": Case(_MIXED),
    "adamw, RandAugment, workers": Case(replace(_BASE, opt="adamw", aa="rand-m9-mstd0.5"), images="files", workers=2),
    "accumulated": Case(replace(_BASE, grad_accum_steps=2), "botnet_pico", images="files"),
    "lamb, repeated": Case(replace(_BASE, opt="lamb", clip_grad=0.0, aug_repeats=2), "cotnet_pico"),
    "balanced, mixed in parts": Case(
        replace(_MIXED, sampler="balanced", grad_accum_steps=2), images="files", workers=1
    ),
    "seldom saved": Case(replace(_BASE, opt="adamw", clip_grad=0.0), "cotnet_pico", workers=1, save_minutes=0.005),
    "bfloat16": Case(replace(_BASE, precision="bfloat16"), "convmixer_pico"),
    "sgd, frozen, kept in memory": Case(
        replace(_BASE, opt="sgd", freeze="stem", layer_decay=0.8, keep="last"), images="kept", workers=2
    ),
    "shards": Case(replace(_BASE, opt="nesterov"), "resnet_pico", images="shards", workers=1),
    "by the command": Case(_MIXED, images="files", by="command"),
}


def run(case: Case, data: str, folder: Path) -> None:
    """Train, or go on training."""
    torch.set_num_threads(1)
    if case.by == "command":
        _command(case, data, folder)
        return
    spec = get_spec(case.model).at(SIDE)
    images = kept_in_memory(open_data(str(data)), "ram" if case.images == "kept" else "none")
    train(
        Classifying(spec, images, case.recipe, Preprocessing(spec.image)),
        RunFolder(folder),
        hardware=Hardware(torch.device("cpu"), workers=case.workers),
        save_minutes=case.save_minutes,
        max_unreadable=0.1,
        resume="allowed",
    )


def _command(case: Case, data: str, folder: Path) -> None:
    """Train as a user does, and say nothing."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        sys.exit(main(_words(case, data, folder)))


def _words(case: Case, data: str, folder: Path) -> list[str]:
    """Give the words behind `graft`."""
    if (folder / "config.yaml").exists():
        return ["train", "--resume", str(folder)]
    chosen = {field.name: getattr(case.recipe, field.name) for field in fields(Recipe)}
    chosen |= {"data": data, "model": case.model, "image": SIDE, "output": folder, "workers": case.workers}
    chosen |= {"save_minutes": case.save_minutes, "max_unreadable": 0.1, "device": "cpu"}
    words = [(f"--{name.replace('_', '-')}", str(value)) for name, value in chosen.items()]
    return ["train", *(word for pair in words for word in pair)]


def data_for(case: Case, place: Path) -> str:
    """Make the data of a case, and give what `--data` takes."""
    if case.images == "arrays":
        return str(write_npz(place / "stripes.npz", train=48))
    folder = write_folder(place / "stripes")
    if case.images == "shards":
        write_shards(open_data(folder), place / "shards", chunk_bytes=1 << 12)
        return f"litdata:{place / 'shards'}"
    broken = folder / "train" / "lying" / "001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    return str(folder)


def soak(kills: int, seed: int) -> int:
    """Kill runs of all cases in turn; give how many did not end as they should."""
    fork = multiprocessing.get_context("fork")  # PyTorch is imported once; this process itself computes nothing
    draw = random.Random(seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        wanted, took, data = {}, {}, {}
        for name, case in list(CASES.items())[:kills]:
            (Path(place) / name).mkdir()
            data[name] = data_for(case, Path(place) / name)
        for name, case in list(CASES.items())[:kills]:
            began = time.monotonic()
            through = Path(place) / name / "through"
            _finish(fork.Process(target=run, args=(case, data[name], through)))
            took[name], wanted[name] = time.monotonic() - began, ending(RunFolder(through))
        for number in range(1, kills + 1):
            name = list(wanted)[number % len(wanted)]
            folder, moment = Path(place) / name / "killed", draw.uniform(0.0, took[name])
            process = fork.Process(target=run, args=(CASES[name], data[name], folder))
            process.start()
            process.join(moment)
            was = "killed" if process.is_alive() else "over already"
            process.kill()
            process.join()
            step = read_state(RunFolder(folder))[0].progress.step if (folder / "last.ckpt").exists() else 0
            _finish(fork.Process(target=run, args=(CASES[name], data[name], folder)))
            right = same(ending(RunFolder(folder)), wanted[name])
            wrong += not right
            print(f"{number:4d} {name:27} {was} after {moment:5.2f} s, went on from step {step:3d}:", end=" ")
            print("the same" if right else "DIFFERENT", flush=True)
            shutil.rmtree(folder)
    return wrong


def _finish(process: multiprocessing.process.BaseProcess) -> None:
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"a run ended with code {process.exitcode}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    different = soak(count, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"{count - different} of {count} ended as if nobody had killed them")
    sys.exit(1 if different else 0)
