"""The folder of a run holds whole files, whenever the process that writes them is killed."""

import shutil
from pathlib import Path

import pytest

from visiongraft.train.run import RunFolder


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_copy_of_the_best_weights_that_was_cut_short_never_takes_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path)
    run.best.write_bytes(b"whole")

    def cut_short(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:2])
        raise Killed

    monkeypatch.setattr(shutil, "copyfile", cut_short)
    with pytest.raises(Killed):
        run.set_best_aside()
    run.restore([], [])
    assert run.best.read_bytes() == b"whole"
