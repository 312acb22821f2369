"""What torchrun or SLURM starts again after a death goes on, and ends as if nobody had died."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import write_npz
from tests.train.endings import ending, same
from visiongraft.cli.main import main
from visiongraft.errors import RunError
from visiongraft.train import team
from visiongraft.train.run import RunFolder
from visiongraft.train.team import Team

SIZES = "--model resnet_pico --image 32 --epochs 3 --batch-size 16 --drop-path 0.2 --mixup 0.4"
OPTIONS = [*SIZES.split(), "--save-minutes", "0", "--device", "cpu", "--workers", "0"]


def test_what_torchrun_starts_again_ends_with_the_bits_of_a_run_that_nobody_killed(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    words = ["train", "--data", str(data), *OPTIONS, "--output"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", "1"]
    script = ["--nproc-per-node", "1", "-m", "tests.train.killed_once"]
    folder = RunFolder(tmp_path / "killed")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*torchrun, *script, *words, str(folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr.replace("exitcode  :", "exitcode:"), done.stderr
    through = RunFolder(tmp_path / "through")
    assert main([*words, str(through.path)]) == 0
    assert same(ending(folder), ending(through))


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


def not_here() -> None:
    raise AssertionError("another process than the first one wrote")
