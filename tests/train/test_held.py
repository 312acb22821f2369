"""One process at a time works in a folder, and one that was killed holds nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pictures import write_npz
from tests.train.test_resume import begin, killed
from visiongraft.errors import RunError
from visiongraft.train.held import LOCK, held
from visiongraft.train.run import RunFolder, plan_run

HOLDER = """
import fcntl, os, sys, time
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
child = os.fork()  # as those that read images, which outlive a kill by seconds
if child == 0:
    time.sleep(30)
    os._exit(0)
print(child, flush=True)
time.sleep(100)
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a folder elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-c", HOLDER, str(folder / LOCK)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)


def test_two_trainings_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "run", name="")
    killed(folder, data, after=2)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with another_process(folder.path):
        with pytest.raises(RunError) as refusal:
            begin(folder, data, resume="allowed")
        assert str(refusal.value) == (
            f"Another `graft train` is at work in {folder.path}. Wait until it ends, or end it; or give another"
            " --output."
        )
        assert {path: path.read_bytes() for path in before} == before
    begin(folder, data, resume="allowed")
    assert not (folder.path / LOCK).exists()


def test_a_killed_process_holds_nothing_even_where_one_that_it_forked_lives_on(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        with pytest.raises(RunError, match="is at work"), held(tmp_path, by="graft train"):
            pass
        process.kill()
        process.wait()
        assert (tmp_path / LOCK).exists()
        with held(tmp_path, by="graft train"):
            pass


def test_parts_of_one_process_are_kept_apart_as_well(tmp_path: Path) -> None:
    with held(tmp_path / "run", by="graft train"):
        for _ in range(2):
            with (
                pytest.raises(RunError, match="Another `graft train` is at work"),
                held(tmp_path / "run", by="graft train"),
            ):
                pass
        with another_who_tries(tmp_path / "run") as tries:
            assert tries.wait() == 1  # the refused ones did not let go of it
    assert not (tmp_path / "run").exists()


def another_who_tries(folder: Path) -> subprocess.Popen[bytes]:
    """Try to hold a folder elsewhere; it ends with 1 where it cannot."""
    program = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'ab'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.Popen([sys.executable, "-c", program, str(folder / LOCK)], stderr=subprocess.DEVNULL)


def test_a_folder_whose_run_was_killed_before_it_began_is_free(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    assert plan_run(tmp_path, name="") == RunFolder(tmp_path)


def test_where_a_disk_has_no_locks_the_training_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.lockf", refused)
    with held(tmp_path / "run", by="graft train"):
        assert (tmp_path / "run").exists()
