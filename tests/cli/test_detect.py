"""`graft detect` from end to end."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.cli.running import answer, complaint
from tests.detect.judged import found_alone
from tests.detect.test_coco import bundled, roboflow, with_prefixes
from tests.detect.test_training import write_scenes
from tests.once import Once
from tests.train.endings import ending, same
from tests.train.pair import DETECTOR, train_together
from visiongraft.cli import detect_train
from visiongraft.cli.arguments import options_of
from visiongraft.cli.main import main
from visiongraft.detect.course import DetectionCourse
from visiongraft.train.run import RunFolder
from visiongraft.train.state import read_state


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["detect", "train", "--data", str(data), "--output", str(folder), *DETECTOR]) == 0
    return folder


def test_what_training_tells_is_what_eval_tells_of_its_file(
    trained: Path, data: Path, capsys: pytest.CaptureFixture
) -> None:
    scored = answer(capsys, "detect", "eval", trained, "--data", data, "--workers", "0")
    told = answer(capsys, "detect", "train", "--resume", trained)
    assert set(scored) >= {"box_ap", "box_ap50", "mask_ap", "mask_ap50", "images", "unreadable"}
    assert {name: told[f"val_{name}"] for name in scored if "_a" in name and "image" not in name} == {
        name: value for name, value in scored.items() if "_a" in name and "image" not in name
    }
    assert scored["images"] == 3
    assert Path(told["report"]).read_text().startswith("<!doctype html>")


def test_categories_of_data_to_be_scored_on_are_known_by_their_names(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = answer(capsys, "detect", "eval", trained, "--data", data, "--workers", "0")
    other = tmp_path / "other"
    shutil.copytree(data, other)
    file = other / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text("utf-8"))
    content["categories"] = [{"id": 3, "name": "dog"}, {"id": 7, "name": "кошка"}, {"id": 1, "name": "bird"}]
    for each in content["annotations"]:
        each["category_id"] = 10 - each["category_id"]
    file.write_text(json.dumps(content))
    again = answer(capsys, "detect", "eval", trained, "--data", other, "--workers", "0")
    assert {name: again[name] for name in first if "_a" in name} == {
        name: value for name, value in first.items() if "_a" in name
    }
    content["annotations"][0]["category_id"] = 1
    file.write_text(json.dumps(content))
    refusal = complaint(capsys, "detect", "eval", trained, "--data", other, "--workers", "0")
    assert "has a category 1 that is not listed: known are кошка, dog (2 categories)." in refusal


def test_a_run_does_not_go_on_with_other_options_of_its_detector(trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert complaint(capsys, "detect", "train", "--resume", trained, "--max-size", "64", "--kind", "fcos") == (
        f"graft: The run in {trained} cannot go on: its --kind is mask_rcnn, not fcos; its --max-size is 48, not 64."
        " Put that back, or begin a new run with another --output.\n"
    )


def test_a_run_keeps_all_options_but_those_of_its_course_and_of_the_machine() -> None:
    of_the_course = {each.name for each in fields(DetectionCourse)}
    of_the_machine = {"weights_dir", "offline", "workers", "device", "devices", "max_unreadable", "save_minutes"}
    known_otherwise = {"data", "fix", "recipe", "plugin", "output", "resume"}
    free = of_the_course | of_the_machine | known_otherwise
    assert {each.name for each in options_of(detect_train.run)} - free == set(detect_train.OF_THE_DETECTOR)


@pytest.mark.parametrize("name", ["faster-coco-eval", "pycocotools"])
def test_what_scores_detectors_is_asked_for_before_the_first_step(
    data: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delitem(sys.modules, "pycocotools.mask", raising=False)
    monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)
    refusal = complaint(capsys, "detect", "train", "--data", data, *DETECTOR)
    assert refusal == f"graft: Scores of detectors need {name}. Install it with: pip install 'visiongraft[detect]'\n"


def test_the_page_shows_pictures_curves_and_precision(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == 6
    for words in ("Mask AP50", "AP50, at an overlap of 0.5", "What it sees", "graft detect eval", "кошка"):
        assert words in page


def test_objects_are_found_drawn_and_listed(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bad.png").write_bytes(b"junk")
    Image.new("RGB", (2000, 1)).save(tmp_path / "long.png")
    drawn = tmp_path / "drawn"
    words = ["detect", "predict", trained, data / "val2017", tmp_path / "bad.png", tmp_path / "long.png"]
    words += ["--output", drawn, "--least", "0"]
    found = answer(capsys, *words)
    assert [each.get("error") is None for each in found] == [True, True, True, False, False]
    assert found[4]["error"].startswith("it has 1x2000 pixels, and nothing would be left of its shorter side")
    assert json.loads((drawn / "found.json").read_text()) == found
    for each in found[:3]:
        with Image.open(each["picture"]) as picture:
            assert picture.size == (40, 30)
        for thing in each["objects"]:
            assert thing["label"] in ("кошка", "dog")
            assert 0 <= thing["box"][0] <= thing["box"][2] <= 40
            assert thing["mask"]["size"] == [30, 40]
    scores = [thing["score"] for thing in found[0]["objects"]]
    assert scores == sorted(scores, reverse=True)
    assert "is not empty. Give a new or an empty folder." in complaint(capsys, *words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["detect"], ""),
        (["detect", "fly"], "There is no verb 'detect fly'. "),
        (["detect", "trian"], "There is no verb 'detect trian'. Did you mean 'detect train'"),
        (["detect", "train"], "--data is missing."),
        (["detect", "train", "--data", "nowhere"], "'nowhere' cannot be opened: No such file or directory."),
        (["detect", "train", "--data", "DATA", "--min-size", "big"], "--min-size takes pixels, as 512 or as 480,512,"),
        (["detect", "train", "--data", "DATA", "--anchors", "2.5,0"], "--anchors takes numbers above 0 with commas"),
        (["detect", "train", "--data", "DATA", "--ratios", "auto"], "between, as 2.5,4, and got 'auto'."),
        (
            ["detect", "train", "--data", "DATA", "--jitter", "2"],
            "--jitter takes two factors, as 0.1,2.0, the",
        ),
        (
            ["detect", "train", "--data", "DATA", "--fix", "all"],
            "--fix takes drop and clip, with a comma between,",
        ),
        (["detect", "train", "--data", "DATA", "--batch-size", "0"], "--batch-size must be at least 1, not 0."),
        (["detect", "train", "--data", "DATA", "--batch-size", "9"], "The largest that it can fill is 6: use"),
        (["detect", "train", "--data", "DATA", "--backbone", "botnet51"], "botnet51"),
        (["detect", "train", "--data", "DATA", "--max-size", "8"], "max_size"),
        (["detect", "train", "--data", "DATA", "--recipe", "best"], "No recipe for detectors is named 'best'."),
        (["detect", "eval", "nowhere", "--data", "DATA"], "nowhere"),
        (["detect", "predict", "nowhere", "a.png"], "nowhere"),
        (["detect", "predict", "RUN", "a.png", "--least", "2"], "--least must be in [0, 1], not 2.0."),
    ],
)
def test_bad_input_gets_one_line(words: list[str], text: str, data: Path, capsys: pytest.CaptureFixture) -> None:
    if words == ["detect"]:
        assert main(words) == 2
        assert "detect predict" in capsys.readouterr().out
        return
    assert text in complaint(capsys, *[data if each == "DATA" else each for each in words])


@pytest.mark.parametrize(
    ("lay_out", "text"),
    [
        (roboflow, "'SET' has no classes, but 'test' and 'train' and 'valid' with boxes of objects."),
        (bundled, "'SET' holds only one class, 'images'. "),
        (with_prefixes, "The class folder 'SET/annotations' holds 3 files but no image."),
    ],
)
def test_a_training_of_classes_points_to_that_of_detectors_where_there_are_boxes(
    tmp_path: Path, capsys: pytest.CaptureFixture, lay_out: Callable[[Path], None], text: str
) -> None:
    lay_out(tmp_path)
    refusal = complaint(capsys, "train", "--data", tmp_path).replace(str(tmp_path), "SET")
    assert refusal.startswith(f"graft: {text}")
    assert refusal.endswith("`graft detect train --data SET` learns these.\n")


def test_weights_of_a_classifier_are_no_detector(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    import visiongraft as vg

    file = vg.save(vg.create_model("resnet_pico", num_classes=2), tmp_path / "classifier.safetensors")
    assert "holds a network that tells classes apart" in complaint(capsys, "detect", "eval", file, "--data", data)


def test_a_detector_begins_with_the_backbone_of_a_classifier(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture
) -> None:
    import visiongraft as vg

    file = vg.save(vg.create_model("resnet_pico", num_classes=2, image=32), tmp_path / "classifier.safetensors")
    small = DETECTOR[2:]  # without --backbone
    words = ["detect", "train", "--data", data, "--weights", file, "--output", tmp_path / "run", *small]
    begun = answer(capsys, *words)
    assert begun["epochs"] == 1
    assert begun["notes"] == ["99.8% of the weights of resnet_pico are kept."]
    file.unlink()
    again = answer(capsys, "detect", "train", "--resume", tmp_path / "run")
    assert (again["epochs"], again["notes"]) == (1, [])


def test_two_processes_train_together_and_go_on_as_if_they_had_never_been_stopped(once: Once) -> None:
    place = once("two processes", train_together)
    assert same(ending(RunFolder(place / "detector, resumed")), ending(RunFolder(place / "detector")))


def test_a_run_of_one_process_goes_on_with_two(once: Once) -> None:
    state, note = read_state(RunFolder(once("two processes", train_together) / "detector alone"))
    assert (note, state.progress.step, state.belongs["devices"]) == (None, 6, 2)
    assert [row["epoch"] for row in state.progress.rows] == [1, 2]


def test_two_processes_find_together_what_the_first_one_finds_alone(once: Once) -> None:
    place = once("two processes", train_together)
    both, one = torch.load(place / "judged.pt"), found_alone(place / "scenes")
    assert list(both) == list(one) == [0, 1, 2]
    assert all(torch.equal(both[each], one[each]) and len(one[each]) for each in one)
