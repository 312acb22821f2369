"""The folder of a run holds whole files, whenever the process that writes them is killed."""

import shutil
from pathlib import Path

import pytest
import yaml

from visiongraft.errors import RunError
from visiongraft.train.run import RunFolder, plan_run


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


def test_a_resume_removes_the_drafts_of_the_run_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    names = ["last.ckpt", "best.safetensors", "best-of-whole-epochs.safetensors", "report.html", "config.yaml"]
    drafts = {f".{name}.{number:016x}" for number, name in enumerate(names)}
    others = {".last.ckpt", ".last.ckpt.bak", ".mine.0123456789abcdef", ".last.ckpt.0123456789abcde", "last.ckpt"}
    for name in drafts | others:
        (tmp_path / name).write_text("half")
    run.restore([], [])
    assert {each.name for each in tmp_path.iterdir()} == others


def test_a_run_that_is_killed_while_it_writes_its_options_leaves_its_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # what is killed removes nothing
        with pytest.raises(Killed):
            RunFolder(folder).create({"epochs": 3})
    assert not (folder / "config.yaml").exists()
    run = plan_run(folder, name="")
    run.create({"epochs": 3})
    assert [each.name for each in folder.iterdir()] == ["config.yaml"]
    assert yaml.safe_load(run.config.read_text())["epochs"] == 3


@pytest.mark.parametrize("links", ["with links", "without links"])
def test_of_two_runs_that_begin_in_one_folder_the_second_is_refused(
    tmp_path: Path, links: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if links == "without links":  # as on FAT

        def refused(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refused)
    RunFolder(tmp_path).create({"epochs": 3})
    with pytest.raises(RunError, match=r"already holds a run\. Go on with it by --resume"):
        RunFolder(tmp_path).create({"epochs": 4})
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["epochs"] == 3
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]
