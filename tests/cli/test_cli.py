"""The command line: a newcomer's words work, a slip gets one line and exit code 2, and JSON is alone on stdout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.pictures import SIDE, stripes, write_folder, write_npz
from visiongraft.cli.main import main
from visiongraft.cli.verbs import VERBS
from visiongraft.families.zoo import create_model, list_models
from visiongraft.preprocessing import Preprocessing
from visiongraft.weights.store import save

QUICK = ["--epochs", "1", "--batch-size", "16", "--image", str(SIDE)]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = create_model("resnet_pico", num_classes=2, image=SIDE)
    pre = Preprocessing((SIDE, SIDE))
    return save(network, tmp_path / "model.safetensors", preprocessing=pre, classes=["upright", "lying"])


def answer(capsys: pytest.CaptureFixture, *words: object) -> object:
    assert main([str(word) for word in (*words, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture, *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1, caught.err
    return caught.err


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb.name} " in text for verb in VERBS)
    assert main([]) == 2


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_explains_every_option(verb: str, capsys: pytest.CaptureFixture) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: graft {verb}" in text
    assert "_" not in "".join(word for word in text.split() if word.startswith("--"))
    assert "--json" in text
    assert "--config" in text


def test_list_gives_names_by_family(capsys: pytest.CaptureFixture) -> None:
    assert [each["name"] for each in answer(capsys, "list")] == list_models()
    assert answer(capsys, "list", "cotnet5*") == [{"name": "cotnet50", "family": "cotnet"}]
    assert main(["list", "convmixer_p*"]) == 0
    assert capsys.readouterr().out == "convmixer\n  convmixer_pico\n"


def test_info_gives_the_published_counts(capsys: pytest.CaptureFixture) -> None:
    found = answer(capsys, "info", "botnet50")
    assert (found["name"], found["params"], found["image"]) == ("botnet50", 20_852_008, [224, 224])
    assert sum(stage["params"] for stage in found["stages"]) == found["params"]
    assert answer(capsys, "info", "botnet50", "--image", "256x128", "--num-classes", "10")["image"] == [256, 128]
    assert main(["info", "coatnet_pico"]) == 0
    assert "RelativeTransformer" in capsys.readouterr().out


def test_train_eval_and_predict_fit_together(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    trained = answer(capsys, "train", "--data", data, "--output", tmp_path / "run", *QUICK)
    assert set(trained) >= {"val_top1", "val_loss", "epochs", "train_seconds", "weights", "report"}
    assert Path(trained["report"]).exists()
    scored = answer(capsys, "eval", trained["weights"], "--data", data)
    assert (scored["top1"], scored["loss"], scored["images"]) == (trained["val_top1"], trained["val_loss"], 32)
    assert answer(capsys, "eval", tmp_path / "run", "--data", data)["top1"] == scored["top1"]
    image = tmp_path / "图 片.png"
    Image.fromarray(stripes(1)[0][0]).save(image)
    (found,) = answer(capsys, "predict", trained["weights"], image)
    assert found["file"] == str(image)
    assert found["label"] == found["top"][0]["label"] in {"upright", "lying"}
    assert sum(each["probability"] for each in found["top"]) == pytest.approx(1.0, abs=1e-5)


def test_a_run_can_be_repeated_from_its_own_configuration(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    first = answer(capsys, "train", "--data", data, "--output", tmp_path / "first", "--seed", "3", *QUICK)
    again = answer(capsys, "train", "--config", tmp_path / "first" / "config.yaml", "--output", tmp_path / "again")
    assert (first["val_top1"], first["val_loss"]) == (again["val_top1"], again["val_loss"])


def test_the_configuration_can_be_printed_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--lr", "0.5", "--print-config"]) == 0
    text = capsys.readouterr().out
    assert "lr: 0.5\n" in text
    (tmp_path / "run.yaml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "run.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == text


def test_predict_goes_on_after_an_unreadable_file_and_writes_a_table(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = write_folder(tmp_path / "pictures", train=2, val=2)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    found = answer(capsys, "predict", weights, folder, "--csv", tmp_path / "out.csv", "--top", "1")
    assert len(found) == 5
    broken = next(each for each in found if each["file"].endswith("broken.jpg"))
    assert set(broken) == {"file", "error"}
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[0] == "file,error,label_1,probability_1"
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["trian"], "graft: There is no verb 'trian'. Did you mean 'train'?"),
        (["info", "botnet5"], "No network is named 'botnet5'. Did you mean 'botnet50'"),
        (["list", "xx*"], "No network matches 'xx*'."),
        (["train", "--epoch", "3"], "there is no option --epoch. Did you mean '--epochs'"),
        (["train", "--bach-size=3"], "there is no option --bach-size. Did you mean '--batch-size'"),
        (["train", "--epochs", "many"], "--epochs takes a whole number, and got 'many'."),
        (["train", "--precision", "fp8"], "--precision takes one of float32, bfloat16, and got 'fp8'."),
        (["train", "--lr"], "--lr needs a value behind it."),
        (["train", "--lr", "-1"], "--lr must be above 0, not -1.0."),
        (["train", "--image", "12by12"], "--image takes pixels, as 224 or as 256x128"),
        (["train", "--image", "5"], "coatnet_pico needs at least"),
        (["train", "--data", "no_such_folder/"], "'no_such_folder/' is no folder and no known data set."),
        (["train", "--workers", "-1"], "--workers takes auto or a number from 0, and got '-1'."),
        (["train", "--image", "99999"], "--image takes at most 8192 pixels a side, and got 99999."),
        (["train", "--seed", "-1"], "--seed must be at least 0 and below 2**63, not -1."),
        (["train", "--max-unreadable", "5"], "--max-unreadable must be in [0, 1], not 5.0."),
        (["info", "resnet50", "--num-classes", "-5"], "num_classes is 0 for no classifier, or the number of classes"),
        (["train", "--device", "toaster"], "There is no device 'toaster' here."),
        (["train", "--config", "missing.yaml"], "missing.yaml"),
        (["info"], "MODEL is missing."),
        (["predict"], "WEIGHTS"),
        (["eval", "missing.safetensors"], "missing.safetensors cannot be read: No such file or directory."),
        (["train", "--batch-size", "100000"], "A batch of 100000 images is larger than the data."),
    ],
)
def test_a_slip_gets_one_line_that_says_what_to_do(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert text in complaint(capsys, *words)
    assert not (tmp_path / "runs").exists(), "a refused run leaves nothing behind"


def test_an_unknown_key_of_a_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "run.yaml").write_text("epoch: 3\n")
    text = complaint(capsys, "train", "--config", tmp_path / "run.yaml")
    assert "the configuration has an unknown option 'epoch'. Did you mean '--epochs'" in text


def test_data_of_other_classes_than_the_weights_are_refused(weights: Path, capsys: pytest.CaptureFixture) -> None:
    text = complaint(capsys, "eval", weights, "--data", "flowers")
    assert "tells apart upright, lying (2 classes), and the data has daisy, dandelion" in text


def test_a_folder_without_pictures_is_refused(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty holds no images. Expected files ending in" in complaint(
        capsys, "predict", weights, tmp_path / "empty"
    )


def test_an_output_that_holds_a_run_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("precious")
    text = complaint(capsys, "train", "--data", write_npz(tmp_path / "s.npz"), "--output", tmp_path / "run")
    assert "already holds a run" in text
    assert (tmp_path / "run" / "metrics.csv").read_text() == "precious"


def test_listing_starts_without_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom visiongraft.cli.main import main\nmain(['list'])\n"
        "heavy = {'lightning', 'timm', 'matplotlib', 'torchvision'} & set(sys.modules)\nassert not heavy, heavy"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout


def test_a_reader_that_stops_early_is_no_error() -> None:
    done = subprocess.run("set -o pipefail; graft list | head -n 1", shell=True, executable="/bin/bash", check=True, env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}, capture_output=True, text=True)  # fmt: skip  # noqa: S602, E501
    assert done.stdout == "resnet\n"
    assert done.stderr == ""
