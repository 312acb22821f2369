"""`graft predict`: what is asked for is looked at before any work, and what fails is told with the rest."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.running import answer, complaint
from tests.pictures import SIDE, write_folder
from visiongraft.cli.main import main

PICTURE = Image.new("RGB", (SIDE, SIDE), "red")


def test_it_goes_on_after_an_unreadable_file_counts_it_and_writes_a_table(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = write_folder(tmp_path / "pictures", train=2, val=2)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    table = tmp_path / "out.csv"
    words = ["predict", weights, folder, tmp_path / "missing.png", "--csv", table, "--top", "1", "--json"]
    assert main([str(word) for word in words]) == 0
    caught = capsys.readouterr()
    assert caught.err == "graft: 2 of 6 files could not be read as images; the list says why\n"
    found = json.loads(caught.out)
    assert [set(each) for each in found if "error" in each] == [{"file", "error"}] * 2
    assert found[-1] == {"file": str(tmp_path / "missing.png"), "error": "there is no such file"}
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "error", "label_1", "probability_1"]
    assert [row[0] for row in rows[1:]] == [each["file"] for each in found]


def test_where_every_file_fails_the_list_is_given_and_the_exit_code_is_2(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty.png").touch()
    words = ["predict", weights, tmp_path / "empty.png", tmp_path / "none.png", "--csv", tmp_path / "out.csv"]
    assert main([str(word) for word in words]) == 2
    caught = capsys.readouterr()
    assert caught.out.count("\n") == 2
    assert "the file is empty (0 bytes)" in caught.out
    assert caught.err == ("graft: No image could be read, of 2 that were asked for; the list says why. Give others.\n")
    assert (tmp_path / "out.csv").read_text().count("\n") == 3


def test_folders_are_searched_as_those_of_a_data_set(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "pictures"
    for name in ("10.png", "9.png", "deep/1.PNG", ".hidden.png", ".trash/1.png", "__MACOSX/1.png", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PICTURE.save(folder / name, "PNG")
    (folder / "deep" / "around").symlink_to("..")
    found = answer(capsys, "predict", weights, folder, folder / ".hidden.png")
    assert [each["file"] for each in found] == [
        str(folder / name) for name in ("9.png", "10.png", "deep/1.PNG", ".hidden.png")
    ]


def test_a_folder_without_pictures_is_refused(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    text = complaint(capsys, "predict", weights, tmp_path / "empty")
    assert f"The folder {str(tmp_path / 'empty')!r} holds no file. Give image files (their names end in" in text
    (tmp_path / "empty" / ".hidden.png").touch()
    (tmp_path / "empty" / "notes.txt").touch()
    text = complaint(capsys, "predict", weights, tmp_path / "empty")
    assert f"The folder {str(tmp_path / 'empty')!r} holds 1 file, but no image." in text


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("no/such/out.csv", "cannot be written: '{here}/no/such' is no folder."),
        ("file.txt/out.csv", "cannot be written: '{here}/file.txt' is no folder."),
        (".", "is a folder, and a file is to be written."),
        ("x" * 300, "cannot be written: File name too long."),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_before_any_work(
    table: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    text = complaint(capsys, "predict", "no.safetensors", "no.png", "--csv", table)
    assert text == f"graft: --csv {table!r} {problem.format(here=tmp_path)} Give another --csv.\n"


def test_a_table_that_cannot_be_finished_leaves_the_previous_one(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    PICTURE.save(tmp_path / "1.png")
    (tmp_path / "out.csv").write_text("precious")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("visiongraft.cli.tables.write_whole", fail)
    text = complaint(capsys, "predict", weights, tmp_path / "1.png", "--csv", tmp_path / "out.csv")
    assert "out.csv' cannot be written: No space left on device. Give another --csv." in text
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1.png", "model.safetensors", "out.csv"]


def test_a_table_may_go_to_a_device(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture) -> None:
    PICTURE.save(tmp_path / "1.png")
    assert main(["predict", str(weights), str(tmp_path / "1.png"), "--csv", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()


ODD_NAMES = ["two  spaces.png", "图片 🐈.png", "line\nbreak.png", "\x1b]0;title\x07.png", "-dash.png", "caf\udce9.png"]


def test_a_file_may_have_any_name_and_still_takes_one_line(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    for name in ODD_NAMES:
        PICTURE.save(Path("here") / name, "PNG")
    assert main(["predict", str(weights), "here"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") == len(ODD_NAMES)
    assert r"here/line\nbreak.png" in text
    assert r"here/caf\udce9.png" in text
    assert "\x1b" not in text
    found = answer(capsys, "predict", weights, "here")
    assert {each["file"] for each in found} == {f"here/{name}" for name in ODD_NAMES}


def test_names_of_wide_letters_are_as_wide_as_the_terminal_shows_them(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("花园.png", "garden.png"):
        PICTURE.save(name)
    Path("no.png").touch()
    assert main(["predict", str(weights), "花园.png", "garden.png", "no.png", "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["花园.png", "garden.png", "no.png"]
    assert lines[0].startswith("花园.png    ")
    assert lines[1].startswith("garden.png  ")
    assert lines[2] == "no.png      the file is empty (0 bytes)"
