"""`graft doctor`: what it prints, what it writes down, and its exit codes."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import answer, complaint
from tests.scenes import scene, write_scenes
from visiongraft.cli.main import main
from visiongraft.data import delivery


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SHORTEST", 0.0)
    monkeypatch.setattr(delivery, "ROUNDS", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "photos")


@pytest.fixture
def photos(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a data set in which nothing is wrong, as a path from the present folder."""
    shutil.copytree(made, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return Path("photos")


def lines(capsys: pytest.CaptureFixture, *words: object, code: int = 0) -> list[str]:
    assert main(["doctor", *map(str, words)]) == code
    return capsys.readouterr().out.splitlines()


def test_data_without_a_fault_gets_its_facts_and_exit_code_0(photos: Path, capsys: pytest.CaptureFixture) -> None:
    shown = lines(capsys, "--data", photos, "--image", "48", "--workers", "0")
    assert shown[:4] == [
        "images    40 to learn from, 100 to be scored on, 2 classes",
        "height    48 pixels",
        "width     48 pixels",
        "classes   20 each, counting images to learn from that can be read",
    ]
    assert shown[4].startswith("mean      0.5")
    assert shown[4].endswith("   of red, green, blue; ImageNet has 0.485 0.456 0.406")
    assert shown[5].endswith("   ImageNet has 0.229 0.224 0.225")
    assert shown[6].endswith(" images per second at 48 x 48 with no worker process, as measured now on this machine")
    assert shown[7].startswith("memory    1.0 MB for all pixels as uint8, 0.0% of this machine's")
    assert shown[8:] == ["", "Nothing was found that wants mending."]


def test_each_finding_is_one_line_that_says_what_to_do(photos: Path, capsys: pytest.CaptureFixture) -> None:
    scene(1).save(photos / "val/cat/again.png")
    scene(900).save(photos / "train/cat/b.jpg", "PNG")
    shown = lines(capsys, "--data", photos, "--image", "48")
    assert shown[3] == "classes   from 20 (dog) to 21 (cat), counting images to learn from that can be read"
    assert shown[9:] == [
        "warning   Files of another format than their names end in: 1 of 142 (0.7%). They are read by their content; "
        "rename them, since other programs go by the name. It is photos/train/cat/b.jpg.",
        "warning   Images of val that train holds too, to the last pixel: 1 of 101 (1.0%). Remove the copies in "
        "train, or the score counts what was learnt by heart. It is photos/train/cat/1.png, "
        "like photos/val/cat/again.png.",
    ]


def test_something_grave_gives_exit_code_1_and_one_line_on_standard_error(
    photos: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("0", "1", "2"):
        (photos / f"val/cat/{name}.png").write_bytes(b"")
    assert main(["doctor", "--data", str(photos), "--image", "48"]) == 1
    caught = capsys.readouterr()
    assert caught.err == "graft: 1 finding is grave; mend what is meant before training\n"
    shown = caught.out.splitlines()
    assert shown[-1] == "`graft doctor --list FILE.csv` writes down every image that is meant."
    assert next(line for line in shown if line.startswith("grave")) == (
        "grave     Images that cannot be read: 3 of 140 (2.1%). Replace or remove them: a training passes over them, "
        "and ends where they are more than 1 in 100. The first is photos/val/cat/0.png: the file is empty (0 bytes)."
    )
    shutil.rmtree(photos / "train/dog")
    assert main(["doctor", "--data", str(photos), "--json"]) == 1
    assert capsys.readouterr().err == "graft: 3 findings are grave; mend what is meant before training\n"


def test_what_training_would_refuse_is_told_with_its_words(photos: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.rmtree(photos / "train/dog")
    refusal = complaint(capsys, "train", "--data", photos, "--output", "run").removeprefix("graft: ").strip()
    shown = lines(capsys, "--data", photos, "--image", "48", code=1)
    assert shown[9] == f"grave     {refusal}"


def test_json_holds_the_facts_and_the_findings(photos: Path, capsys: pytest.CaptureFixture) -> None:
    scene(1).save(photos / "val/cat/again.png")
    found = answer(capsys, "doctor", "--data", photos, "--image", "40x48")
    assert found["data"] == "photos"
    assert found["images"] == {"train": 40, "val": 101}
    assert found["classes"] == [{"name": "cat", "train": 20, "val": 51}, {"name": "dog", "train": 20, "val": 50}]
    assert found["sizes"] == {"smallest": [48, 48], "median": [48, 48], "largest": [48, 48]}
    assert len(found["mean"]) == len(found["std"]) == 3
    assert found["loader"]["image"] == [40, 48]
    assert found["loader"]["images_per_second"] > 0
    assert found["pixel_bytes"] == 141 * 48 * 48 * 3
    assert found["memory_bytes"] > found["pixel_bytes"]
    assert found["grave"] == 0
    assert found["findings"] == [
        {
            "kind": "leaked",
            "severity": "warning",
            "text": "Images of val that train holds too, to the last pixel: 1 of 101 (1.0%)",
            "remedy": "Remove the copies in train, or the score counts what was learnt by heart",
            "count": 1,
            "examples": [
                {
                    "file": "photos/train/cat/1.png",
                    "part": "train",
                    "class": "cat",
                    "twin": "photos/val/cat/again.png",
                }
            ],
        }
    ]


def test_json_is_there_where_not_one_image_can_be_read(photos: Path, capsys: pytest.CaptureFixture) -> None:
    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    assert main(["doctor", "--data", str(photos), "--json"]) == 1
    assert '"mean": null, "std": null, "loader": null' in capsys.readouterr().out
    shown = lines(capsys, "--data", photos, code=1)
    assert shown[1] == "classes   0 each, counting images to learn from that can be read"


def test_the_list_names_every_image_that_was_found(photos: Path, capsys: pytest.CaptureFixture) -> None:
    scene(1).save(photos / "val/cat/图 片.png")
    (photos / "train/dog/7.png").write_bytes(b"")
    lines(capsys, "--data", photos, "--image", "64", "--list", "odd.csv")
    rows = list(csv.DictReader(io.StringIO(Path("odd.csv").read_text(encoding="utf-8"))))
    assert list(rows[0]) == ["finding", "severity", "file", "part", "class", "twin", "detail"]
    assert list(rows[0].values()) == [
        "unreadable", "warning", "photos/train/dog/7.png", "train", "dog", "", "the file is empty (0 bytes)"
    ]  # fmt: skip
    (leaked,) = (row for row in rows if row["finding"] == "leaked")
    assert (leaked["file"], leaked["twin"]) == ("photos/train/cat/1.png", "photos/val/cat/图 片.png")
    assert sum(row["finding"] == "small" for row in rows) == 140


def test_a_list_that_cannot_be_written_is_refused_before_any_work(photos: Path, capsys: pytest.CaptureFixture) -> None:
    text = complaint(capsys, "doctor", "--data", photos, "--list", "no/such/odd.csv")
    assert text.startswith("graft: --list 'no/such/odd.csv' cannot be written: ")
    assert text.endswith("Give another --list.\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--data", "no/such"], "There is no 'no/such'. Expected a folder, an .npz file, or the name of a data set."),
        (["--image", "0"], "--image takes pixels, as 224 or as 256x128 for height and width, and got 0."),
        (["--workers", "-1"], "--workers takes auto or a number from 0, and got '-1'."),
        (["--data", "photos/train/cat"], "'photos/train/cat' holds 20 images and no folders."),
    ],
)
def test_what_cannot_be_examined_gets_one_line(
    words: list[str], text: str, photos: Path, capsys: pytest.CaptureFixture
) -> None:
    assert text in complaint(capsys, "doctor", *words)
    del photos


def test_nothing_is_changed(photos: Path, capsys: pytest.CaptureFixture) -> None:
    scene(1).save(photos / "val/cat/again.png")
    (photos / "train/dog/7.png").write_bytes(b"")
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    lines(capsys, "--data", photos)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_an_npz_file_is_examined_and_notes_come_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pixels = np.stack([np.asarray(scene(seed)) for seed in range(140)])
    labels = np.arange(140) % 2
    np.savez(
        tmp_path / "set.npz",
        train_images=pixels[:40],
        train_labels=labels[:40],
        test_images=pixels[40:],
        test_labels=labels[40:],
    )
    assert main(["doctor", "--data", str(tmp_path / "set.npz"), "--image", "48"]) == 0
    caught = capsys.readouterr()
    assert "comes without val_images: test_images take their place." in caught.err
    assert caught.out.endswith("Nothing was found that wants mending.\n")


def test_the_bundled_photographs_have_the_blemishes_that_the_page_names(capsys: pytest.CaptureFixture) -> None:
    found = answer(capsys, "doctor")
    counts = {each["kind"]: each["count"] for each in found["findings"]}
    assert counts == {"leaked": 2, "contradicted": 2, "leaked_nearly": 9, "repeated_nearly": 8}
    assert found["grave"] == 0
