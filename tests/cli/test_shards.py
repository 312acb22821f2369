"""`graft shards`: what it writes and says, and that the other verbs take what it wrote."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.running import answer, complaint
from tests.pictures import write_folder
from visiongraft.cli.main import main
from visiongraft.cli.runs import short_name
from visiongraft.data import delivery, packing


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_folder(Path("photos"), train=40)


def test_a_folder_becomes_shards_and_every_verb_takes_them(
    photos: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "train" / "lying" / "007.png").write_bytes(b"")
    assert main(["shards", "--data", "photos", "--output", "new/shards"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "train  39 images in 1 chunk, 0.0 MB",
        "val    16 images in 1 chunk, 0.0 MB",
        "left out, since it cannot be read: photos/train/lying/007.png: the file is empty (0 bytes)",
        "",
        "To learn from it: graft train --data litdata:new/shards",
    ]
    data = "litdata:new/shards"
    learn = ("--model", "coatnet_pico", "--image", 24, "--epochs", 1, "--batch-size", 8, "--workers", 0)
    trained = answer(capsys, "train", "--data", data, *learn, "--output", "run")
    scored = answer(capsys, "eval", "run", "--data", data, "--workers", 0)
    assert scored["top1"] == trained["val_top1"]
    assert scored["images"] == 16
    monkeypatch.setattr(delivery, "SHORTEST", 0.0)
    monkeypatch.setattr(delivery, "ROUNDS", 1)
    main(["doctor", "--data", data, "--image", "24", "--workers", "0", "--json"])
    assert json.loads(capsys.readouterr().out)["images"] == {"train": 39, "val": 16}


def test_what_is_no_file_is_left_out_and_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photos = write_folder(tmp_path / "größe (1)", train=8, val=4)
    os.mkfifo(photos / "train" / "lying" / "pipe.jpg")
    target = tmp_path / "größe (1)" / "shards of it"
    assert main(["shards", "--data", str(photos), "--output", str(target), "--max-unreadable", "0.2"]) == 0
    caught = capsys.readouterr()
    assert "pipe.jpg" in caught.out + caught.err
    assert f"graft train --data 'litdata:{target}'\n" in caught.out


def test_json_gives_what_was_written(photos: Path, capsys: pytest.CaptureFixture) -> None:
    found = answer(capsys, "shards", "--data", photos, "--output", "shards", "--workers", 2, "--chunk-mb", 1)
    train, val = (sum(each.stat().st_size for each in Path("shards", part).glob("*.bin")) for part in ("train", "val"))
    assert found == {
        "folder": "shards",
        "train": {"images": 40, "chunks": 1, "bytes": train},
        "val": {"images": 16, "chunks": 1, "bytes": val},
        "unreadable": [],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--output", "photos"), "--output 'photos' is there already. Give a folder that is not, or remove it."),
        (("--output", "x", "--chunk-mb", 0), "--chunk-mb must be from 1 to 2048, not 0."),
        (("--output", "x", "--chunk-mb", 4096), "--chunk-mb must be from 1 to 2048, not 4096."),
        (("--output", "x", "--max-unreadable", 1.5), "--max-unreadable must be in [0, 1], not 1.5."),
        (("--output", "x", "--workers", -1), "--workers must be at least 0, or auto, not -1."),
        (("--data", "photos"), "--output is missing."),
        (("--output", "photos/train/upright/000.png/x"), "cannot be written"),
        (("--output", "x", "--data", "litdata:photos"), "holds no shards: there is no shards.index.json."),
        (("--output", "x", "--data", "litdata:photos", "--data-dir", "y"), "is read where it lies"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    photos: Path, capsys: pytest.CaptureFixture, words: tuple, said: str
) -> None:
    assert said in complaint(capsys, "shards", *words)
    assert sorted(each.name for each in Path().iterdir()) == ["photos"]


def test_ctrl_c_leaves_nothing_behind(
    photos: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(images: object, index: int) -> bytes:
        signal.raise_signal(signal.SIGINT)  # which the main thread hears, while others read
        return b""

    monkeypatch.setattr(packing, "_read", interrupted)
    assert main(["shards", "--data", "photos", "--output", "shards"]) == 130
    assert capsys.readouterr() == ("", "graft: stopped\n")
    assert sorted(each.name for each in Path().iterdir()) == ["photos"]


def test_a_run_on_shards_is_named_after_their_folder() -> None:
    assert short_name("litdata:some/shards") == "shards"
    assert short_name("litdata:s3://bucket/flowers") == "flowers"
