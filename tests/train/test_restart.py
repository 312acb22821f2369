"""What torchrun or SLURM starts again after a death goes on, and ends as if nobody had died."""

import importlib
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import write_npz
from tests.train.endings import ending, same
from visiongraft import data, train, weights
from visiongraft.data.loader import Failure
from visiongraft.errors import GraftError, RunError
from visiongraft.train import team
from visiongraft.train.run import RunFolder
from visiongraft.train.team import Team

SIZES = "--model resnet_pico --image 32 --epochs 3 --batch-size 16 --drop-path 0.2 --mixup 0.4"
OPTIONS = [*SIZES.split(), "--save-minutes", "0", "--device", "cpu", "--workers", "0"]


def test_what_torchrun_starts_again_ends_with_the_bits_of_a_run_that_nobody_killed(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    killed, through = RunFolder(tmp_path / "killed"), RunFolder(tmp_path / "through")
    command = [sys.executable, "-m", "tests.train.killed_once", str(killed.path), str(through.path)]
    words = ["train", "--data", str(data), *OPTIONS]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr.replace("exitcode  :", "exitcode:"), done.stderr
    assert "The run goes on after step 2 of 6." in done.stderr
    assert same(ending(killed), ending(through))


def test_an_error_of_the_process_that_writes_ends_the_others_with_the_same_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[object] = []

    def broadcast(things: list[object], src: int, group: object) -> None:
        assert (src, group) == (0, None)
        if sent:
            things[:] = pickle.loads(sent[0])
        else:
            sent.append(pickle.dumps(things))

    monkeypatch.setattr(team.dist, "broadcast_object_list", broadcast)

    def full() -> None:
        raise RunError("The state of the run cannot be written.")

    for rank in (0, 1):  # the first one fails, the second one hears of it
        with pytest.raises(RunError, match=r"^The state of the run cannot be written\.$"):
            Team(rank, 2).led(full if rank == 0 else not_here)


ROOMS = tuple(f"visiongraft.{name}" for name in ("errors", "data", "weights", "train"))


def errors(base: type[GraftError] = GraftError) -> list[type[GraftError]]:
    """Give all errors of the package that a training may raise."""
    for package in (data, train, weights):
        for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(each.name)
    found = [each for each in base.__subclasses__() if each.__module__.startswith(ROOMS)]
    return [base, *(below for each in found for below in errors(each))]


ODD = {
    "NothingToJudgeError": ((Failure(3, "a.png", "it is cut short"),),),
    "NoRoomError": ((64, 3, 224, 192),),
    "UnreadableImage": ("a.png", "it is cut short"),
}
"""What errors are made from that are not made from their text."""


def test_every_error_goes_from_process_to_process_and_says_the_same() -> None:
    found = errors()
    assert {each.__name__ for each in found} > {"RunError", "LostChunk", *ODD}
    for kind in found:
        error = kind(*ODD.get(kind.__name__, ("Something is wrong.",)))
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def not_here() -> None:
    raise AssertionError("another process than the first one wrote")
