"""The command line: a newcomer's words work, a slip gets one line and exit code 2, and JSON is alone on stdout."""

import contextlib
import io
import json
import math
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils.data import get_worker_info

from tests.cli.running import answer, complaint
from tests.pictures import SIDE, stripes, write_folder, write_npz
from visiongraft.cards.card import card_of
from visiongraft.cli.main import main
from visiongraft.cli.runs import short_name
from visiongraft.cli.verbs import VERBS
from visiongraft.data.sets import ArrayImages, ImageData
from visiongraft.families.zoo import list_models
from visiongraft.weights.models import create_model
from visiongraft.weights.store import read, save

QUICK = ["--epochs", "1", "--batch-size", "16", "--image", str(SIDE)]


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
    assert answer(capsys, "list", "cotnext5*") == [{"name": "cotnext50", "family": "cotnet"}]
    assert main(["list", "convmixer_p*"]) == 0
    assert capsys.readouterr().out == "convmixer\n  convmixer_pico\n"


def test_info_gives_the_published_counts(capsys: pytest.CaptureFixture) -> None:
    found = answer(capsys, "info", "botnet50")
    assert (found["name"], found["params"], found["image"]) == ("botnet50", 20_852_008, [224, 224])
    assert sum(stage["params"] for stage in found["stages"]) == found["params"]
    assert answer(capsys, "info", "botnet50", "--image", "256x128", "--num-classes", "10")["image"] == [256, 128]
    assert main(["info", "coatnet_pico"]) == 0
    assert "RelativeTransformer" in capsys.readouterr().out


def test_info_counts_a_file_with_other_classes_and_image_size(weights: Path, capsys: pytest.CaptureFixture) -> None:
    own, other = answer(capsys, "info", weights), answer(capsys, "info", weights, "--num-classes", "7")
    assert (own["num_classes"], other["num_classes"]) == (2, 7)
    assert other["params"] - own["params"] == 5 * (own["stages"][-1]["width"] + 1)
    assert answer(capsys, "info", weights, "--image", "48x32")["image"] == [48, 32]


def test_info_shows_the_card_of_a_network(capsys: pytest.CaptureFixture) -> None:
    card = answer(capsys, "info", "convmixer_256_8")["card"]
    assert card == card_of("convmixer_256_8").as_json()
    assert card["paper"]["name"] == "Trockman and Kolter 2022, arXiv:2201.09792"
    assert [size["params"] for size in card["sizes"]] == [594_186, 594_000]
    assert main(["info", "convmixer_256_8"]) == 0
    _, blocks, text = capsys.readouterr().out.split("\n\n")
    assert text == card_of("convmixer_256_8").as_text() + "\n"
    assert "92.6 " in text
    assert "92.6 " not in blocks


def test_info_of_weights_of_ones_own_shows_what_holds_for_them_too(
    weights: Path, capsys: pytest.CaptureFixture
) -> None:
    card = answer(capsys, "info", weights)["card"]
    assert (card["family"], card["sizes"], card["scores"]) == ("resnet", [], [])
    assert "Ours, for CPUs and tests: no paper has it." in card["notes"]
    assert answer(capsys, "info", "coatnet_0_small")["card"] is None


def test_a_name_of_the_zoo_wins_over_a_folder_that_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet_pico").mkdir()
    assert answer(capsys, "info", "resnet_pico")["name"] == "resnet_pico"
    assert "holds no best.safetensors" in complaint(capsys, "info", "./resnet_pico")


def test_the_table_of_info_is_never_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert main(["info", "coatnet_7", "--image", "512"]) == 0
    table = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert len({len(line) for line in table}) == 1
    assert "…" not in "".join(table)
    assert "RelativeTransformer" in table[-2]


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


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["trian"], "graft: There is no verb 'trian'. Did you mean 'train'?"),
        (["info", "botnet5"], "No network is named 'botnet5'. Did you mean 'botnet50'"),
        (["list", "xx*"], "No network matches 'xx*'."),
        (["train", "--epoch", "3"], "there is no option --epoch. Did you mean '--epochs'"),
        (["train", "--no-progress"], "there is no option --no-progress. See"),
        (["train", "--bach-size=3"], "there is no option --bach-size. Did you mean '--batch-size'"),
        (["train", "--epochs", "many"], "--epochs takes a whole number, and got 'many'."),
        (["train", "--precision", "fp8"], "--precision takes float32 or bfloat16, and got 'fp8'."),
        (["train", "--lr"], "--lr needs a value behind it."),
        (["train", "--lr", "-1"], "--lr must be above 0 and at most 1e+30, not -1.0."),
        (["train", "--image", "12by12"], "--image takes pixels, as 224 or as 256x128"),
        (["train", "--image", "5"], "coatnet_pico needs at least"),
        (["train", "--data", "no_such_folder/"], "'no_such_folder/' is no folder and no known data set."),
        (["train", "--workers", "-1"], "--workers takes auto or a number from 0, and got '-1'."),
        (["train", "--image", "99999"], "--image takes at most 8192 pixels a side, and got 99999."),
        (["train", "--seed", "-1"], "--seed must be at least 0 and below 2**63, not -1."),
        (["train", "--max-unreadable", "5"], "--max-unreadable must be in [0, 1], not 5.0."),
        (
            ["info", "resnet50", "--num-classes", "-5"],
            "The number of classes is 0 for no classifier, or more, not -5.",
        ),
        (["train", "--device", "toaster"], "There is no device 'toaster' here. PyTorch finds cpu"),
        (["train", "--config", "missing.yaml"], "missing.yaml"),
        (["info"], "MODEL is missing."),
        (["predict"], "WEIGHTS"),
        (["eval", "missing.safetensors"], "missing.safetensors cannot be read: No such file or directory."),
        (
            ["eval", "nope"],
            "'nope' is no file, no run folder and no network. Give one of them; `graft list` shows all",
        ),
        (["train", "--batch-size", "100000"], "A batch of 100000 images is larger than the data."),
    ],
)
def test_a_slip_gets_one_line_that_says_what_to_do(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert text in complaint(capsys, *words)
    assert not (tmp_path / "runs").exists(), "a refused run leaves nothing behind"


def test_eval_says_which_images_of_a_folder_without_val_it_scored(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = write_folder(tmp_path / "stripes") / "train"
    assert main(["eval", str(weights), "--data", str(folder), "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)["images"]
    assert printed.err == f"{str(folder)!r} comes without val/: {found} images of 32 held out by file name.\n"


def test_data_of_other_classes_than_the_weights_are_refused(weights: Path, capsys: pytest.CaptureFixture) -> None:
    text = complaint(capsys, "eval", weights, "--data", "flowers")
    assert f"The data has a class 'daisy' that {weights} does not know (5 in all)" in text
    assert "it tells apart upright, lying (2 classes). Use data with classes of the training." in text


def test_classes_are_matched_by_name_and_may_be_fewer_than_the_weights_know(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture
) -> None:
    model, images = read(weights), write_folder(tmp_path / "data", val=16) / "val"
    spec = replace(model.network.spec, head=replace(model.network.spec.head, num_classes=3))
    names = ["upright", "cross", "lying"]
    save(create_model(spec), weights, preprocessing=model.preprocessing, classes=names)
    words = ["eval", weights, "--data", tmp_path / "data", "--workers", "0"]
    whole = answer(capsys, *words)
    said = {Path(each["file"]): each["label"] for each in answer(capsys, "predict", weights, images)}
    assert whole["top1"] == np.mean([label == path.parent.name for path, label in said.items()])
    for part in ("train", "val/lying"):
        shutil.rmtree(tmp_path / "data" / part)
    part = answer(capsys, *words)
    assert (part["images"], part["top1"]) == (
        8,
        np.mean([said[path] == "upright" for path in said if "up" in str(path)]),
    )
    (images / "upright").rename(images / "round")
    assert "The data has a class 'round' that" in complaint(capsys, *words)


def test_an_npz_of_images_to_be_scored_alone_is_numbered_as_the_weights_are(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture
) -> None:
    model, (images, labels) = read(weights), stripes(8)
    for classes in ([], ["0", "1"]):
        save(model.network, weights, preprocessing=model.preprocessing, classes=classes)
        scores = []
        for kept in ([0, 1], [1]):
            chosen = np.isin(labels, kept)
            np.savez(tmp_path / "set.npz", test_images=images[chosen], test_labels=labels[chosen])
            scores.append(answer(capsys, "eval", weights, "--data", tmp_path / "set.npz"))
        assert [each["images"] for each in scores] == [8, 4]
        assert scores[0]["top1"] == 0.5 != scores[1]["top1"], "one class is right, and the other is wrong"


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (
            [0, 1, 9],
            "train_labels are 3 different numbers from 0 to 9. Expected every number from 0 to 2, or the array",
        ),
        ([0, 1, -1], "train_labels are 3 different numbers from -1 to 1. Expected every number from 0 to 2. Add 1.\n"),
        ([0, 1], "train_images holds 3 images and train_labels 2 labels. Each image needs one label: save both from"),
    ],
)
def test_labels_that_are_no_classes_get_one_line(
    labels: list[int], text: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = np.zeros((3, 8, 8), np.uint8)
    part = {"val_images": images[:1], "val_labels": [0]}
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels, **part)
    data = tmp_path / "set.npz"
    said = complaint(capsys, "train", "--data", data, "--output", tmp_path / "run")
    assert said.startswith(f"graft: {str(data)!r}: {text}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["eval", "predict"])
def test_weights_that_are_too_large_get_the_reason_and_the_remedy(
    verb: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = read(weights)
    for each in model.network.parameters():
        each.data.fill_(1e38)
    save(model.network, weights, preprocessing=model.preprocessing, classes=model.classes)
    data = write_folder(tmp_path / "data")
    words = ["--data", data, "--workers", "0"] if verb == "eval" else [data / "val"]
    text = complaint(capsys, verb, weights, *words)
    assert "gives NaN in place of" in text
    assert text.endswith("Use another weight file, or train again with a lower --lr.\n")


@pytest.mark.parametrize("verb", ["eval", "predict", "train"])
def test_weights_that_are_nan_are_named_before_anything_is_done(
    verb: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with safe_open(weights, "pt") as file:
        texts = file.metadata()
    tensors = load_file(weights)
    tensors["stem.0.weight"].fill_(math.nan)
    save_file(tensors, weights, texts)
    words = {"eval": [weights], "predict": [weights, tmp_path], "train": ["--weights", weights]}[verb]
    assert complaint(capsys, verb, *words) == (
        f"graft: {weights} holds NaN or infinity in 'stem.0.weight': it is damaged, or its training diverged. Take it"
        " from its source again, or use another.\n"
    )


def test_the_help_says_how_clipping_is_switched_off(capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--help"]) == 0
    assert "0 switches clipping off" in " ".join(capsys.readouterr().out.split())


def test_an_output_that_holds_a_run_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("precious")
    text = complaint(capsys, "train", "--data", "no/such", "--output", tmp_path / "run")
    assert "already holds a run" in text
    assert (tmp_path / "run" / "metrics.csv").read_text() == "precious"


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "resnet5"],
        ["--lr", "-1"],
        ["--image", "5"],
        ["--device", "toaster"],
        ["--workers", "-1"],
        ["--max-unreadable", "2"],
        ["--output", "file.txt"],
        ["--output", "file.txt/run"],
        ["--output", "full"],
        ["--output", "x" * 300],
    ],
)
def test_what_can_be_refused_without_the_data_is_refused_before_they_are_searched(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def search(*_: object, **__: object) -> None:
        raise AssertionError("the data is searched")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("visiongraft.cli.groups.open_data", search)
    (tmp_path / "file.txt").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    complaint(capsys, "train", *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_unreadable_images_are_listed_alike_by_every_verb(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_folder(tmp_path / "data", train=64, val=32)
    broken = data / "val" / "lying" / "001.png"
    broken.write_bytes(b"")
    options = ["--data", data, "--output", tmp_path / "run", "--max-unreadable", "0.1", "--workers", "0"]
    trained = answer(capsys, "train", *options, "--model", "resnet_pico", *QUICK)
    reason = "the file is empty (0 bytes)"
    assert trained["unreadable"] == [{"file": str(broken), "error": reason}]
    scored = answer(capsys, "eval", tmp_path / "run", "--data", data, "--workers", "0")
    assert (scored["unreadable"], scored["images"]) == (trained["unreadable"], 31)
    assert main(["predict", str(tmp_path / "run"), str(data / "val"), "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert [each for each in predicted if "error" in each] == trained["unreadable"]


@pytest.mark.parametrize(
    ("data", "name"),
    [(None, "flowers"), ("some/photos.v2/", "photos.v2"), ("set.npz", "set"), ("x" * 200, "x" * 64), ("/", "data")],
)
def test_a_run_is_named_after_its_data(data: str | None, name: str) -> None:
    assert short_name(data) == name


def test_a_run_on_the_present_folder_is_named_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short_name(".") == tmp_path.name
    assert short_name("..") == tmp_path.parent.name


def test_json_may_be_caught_by_a_stream_of_text_alone() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        assert main(["list", "--json"]) == 0
    assert json.loads(caught.getvalue())


def test_too_little_memory_gets_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def fill(*_: object, **__: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr("visiongraft.cli.info.summarize", fill)
    assert complaint(capsys, "info", "resnet50") == (
        "graft: The memory does not suffice. Use a smaller --batch-size, --image or --model.\n"
    )


class ImagesThatKill(ArrayImages):
    """Images whose reading ends the process, as the kernel does where memory is full."""

    def load(self, index: int) -> Image.Image:
        assert get_worker_info() is not None, "this would be the process of the tests"
        if self.name == "exits":
            os._exit(1)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("end", ["exits", "is killed"])
@pytest.mark.parametrize("verb", ["eval", "train"])
def test_a_process_that_dies_while_it_reads_images_gets_one_line(
    verb: str, end: str, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    images = ImagesThatKill(end, *stripes(32))
    data = ImageData("stripes", ("upright", "lying"), images, images)
    monkeypatch.setattr("visiongraft.cli.groups.open_data", lambda *_, **__: data)
    words = [weights] if verb == "eval" else ["--output", tmp_path / "run", "--model", "resnet_pico", *QUICK]
    text = complaint(capsys, verb, *words, "--workers", "1")
    assert text == "graft: A process that reads images died, as when memory or /dev/shm is full. Use --workers 0.\n"


@pytest.mark.parametrize(
    "text",
    [
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out "
        "of shared memory. Please try to raise your shared memory limit.",
        "unable to write to file </torch_7_1>: No space left on device (28)",
        "unable to allocate shared memory(shm) for file </torch_7_1>: Cannot allocate memory (12)",
    ],
)
def test_too_little_shared_memory_gets_the_same_line(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr("visiongraft.cli.info.summarize", fail)
    assert complaint(capsys, "info", "resnet50").endswith("Use --workers 0.\n")
