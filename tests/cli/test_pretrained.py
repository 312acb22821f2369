"""Weights of others on the command line: listed, scored, asked and trained further; what goes wrong gets one line."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

import visiongraft as vg
from tests.cli.running import answer, complaint
from tests.parity.originals import perturbed
from tests.pictures import write_folder, write_npz
from tests.train.endings import ending, same
from tests.weights.fake_hub import put_into_cache
from visiongraft.cli.main import main
from visiongraft.cli.values import fetched
from visiongraft.train.run import RunFolder
from visiongraft.weights.imagenet import imagenet_classes
from visiongraft.weights.sources import WEIGHT_SETS

NAME = "coatnet_nano_rw_224"
STILL = ["--epochs", "1", "--batch-size", "16", "--opt", "adamw", "--lr", "1e-20", "--workers", "0"]
"""Options of a training that moves no weight, so that what it began with can be seen at its end."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("kept")
    put_into_cache(folder, f"timm/{NAME}.sw_in1k", to_bytes(perturbed(timm.create_model(NAME)).state_dict()))
    return folder


def test_list_shows_published_weights_with_what_is_claimed_of_them(capsys: pytest.CaptureFixture) -> None:
    found = answer(capsys, "list", "--pretrained")
    assert sorted(each["name"] for each in found) == sorted(each.name for each in WEIGHT_SETS)
    assert answer(capsys, "list", "coatnext*", "--pretrained") == [
        {
            "name": "coatnext_nano_rw_224.sw_in1k",
            "image": [224, 224],
            "num_classes": 1000,
            "claimed_top1": 0.81998,
            "claimed_at": 224,
            "licence": "apache-2.0",
            "repository": "timm/coatnext_nano_rw_224.sw_in1k",
            "family": "coatnet",
        }
    ]
    assert main(["list", "--pretrained", "coatnet_2*"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "coatnet"
    assert "1000 classes  top-1 86.6% at 224, as claimed  apache-2.0" in second
    assert "11821 classes  no score known " in third
    assert complaint(capsys, "list", "cotnet*", "--pretrained") == (
        "graft: No weights that can be fetched match 'cotnet*'. Those of cotnet50 and 1 other network are files that"
        " their authors keep elsewhere, or your own: `graft convert FILE OUT.safetensors --from cotnet"
        " --model cotnet50` takes such a one. `graft list --pretrained` shows those that can.\n"
    )
    assert complaint(capsys, "list", "coatnet_0_rv*", "--pretrained") == (
        "graft: No weights that can be fetched match 'coatnet_0_rv*'. Did you mean 'coatnet_0_rw_224' or"
        " 'coatnet_3_rw_224' or 'coatnet_2_rw_224'? `graft list --pretrained` shows those that can.\n"
    )
    assert complaint(capsys, "list", "zz*") == "graft: No network matches 'zz*'. `graft list` shows all.\n"


def test_info_counts_what_published_weights_are_of_and_fetches_nothing(capsys: pytest.CaptureFixture) -> None:
    plain, large = (answer(capsys, "info", f"coatnet_3_rw_224{tag}") for tag in ("", ".sw_in12k"))
    assert (plain["num_classes"], large["num_classes"]) == (1000, 11821)
    assert large["params"] == 181_805_305, "as timm counts it"
    assert answer(capsys, "info", "resnet50.tv2_in1k")["image"] == [176, 176]
    assert "no published weights with the tag 'sw_in2k'" in complaint(capsys, "info", "coatnet_3_rw_224.sw_in2k")


def test_a_name_is_asked_as_a_file_is(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_folder(tmp_path / "data")
    for ours, known in (("upright", "tench"), ("lying", "tabby")):
        (data / "val" / ours).rename(data / "val" / known)
    shutil.rmtree(data / "train")
    options = ["--weights-dir", kept, "--offline", "--image", "64"]
    said = answer(capsys, "predict", NAME, data / "val", *options)
    assert {each["label"] for each in said} <= set(imagenet_classes())
    scored = answer(capsys, "eval", f"{NAME}.sw_in1k", "--data", data, "--workers", "0", *options)
    assert scored["images"] == 16
    right = sum(Path(each["file"]).parent.name == each["label"] for each in said)
    assert scored["top1"] == right / 16
    (data / "val" / "tench").rename(data / "val" / "wobbly")
    text = complaint(capsys, "eval", NAME, "--data", data, "--workers", "0", *options)
    assert f"The data has a class 'wobbly' that {NAME} does not know" in text


def test_the_folders_of_imagenet_are_scored_in_their_order(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pictures = sorted((write_folder(tmp_path / "data") / "val").rglob("*.png"))
    for index in range(1000):
        folder = tmp_path / "imagenet" / "val" / f"n{index:08d}"
        folder.mkdir(parents=True)
        shutil.copy(pictures[index % len(pictures)], folder)
    places = ["--data", "imagenet", "--data-dir", tmp_path / "imagenet"]
    options = ["--weights-dir", kept, "--offline", "--image", "32", "--workers", "0"]
    assert answer(capsys, "eval", NAME, *places, *options)["images"] == 1000


def parameters(path: str | Path) -> dict[str, torch.Tensor]:
    """Give what training moves: not the statistics, which follow the images."""
    found = load_file(path)
    return {name: each for name, each in found.items() if "running" not in name and "num_batches" not in name}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """Give a file with weights at 32 pixels for the classes of the stripes, in another order."""
    torch.manual_seed(5)
    pre = vg.Preprocessing((32, 32), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), interpolation="bilinear", crop=0.9)
    network = vg.create_model("coatnet_pico", num_classes=2, image=32)
    return vg.save(network, tmp_path / "begun.safetensors", preprocessing=pre, classes=["lying", "upright"])


def test_training_begins_with_the_weights_of_a_file(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    words = ["train", "--data", data, "--weights", begun, *STILL]
    done = answer(capsys, *words, "--output", tmp_path / "run", "--image", "64")
    found, expected = parameters(done["weights"]), vg.load(begun, image=64).state_dict()
    changed = [name for name, each in found.items() if not torch.allclose(each, expected[name], atol=1e-10, rtol=0)]
    assert changed == ["head.classifier.weight"], "the classes come in another order"
    pre = vg.read_weights(done["weights"]).preprocessing
    assert pre == vg.read_weights(begun).preprocessing.at((64, 64))


def test_training_keeps_a_classifier_of_the_very_classes(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    own = vg.read_weights(begun)
    vg.save(own.network, begun, preprocessing=own.preprocessing, classes=["upright", "lying"])
    done = answer(capsys, "train", "--data", data, "--weights", begun, *STILL, "--output", tmp_path / "run")
    found, expected = parameters(done["weights"]), vg.load(begun).state_dict()
    assert all(torch.allclose(each, expected[name], atol=1e-10, rtol=0) for name, each in found.items())
    assert vg.read_weights(done["weights"]).network.spec.image == (32, 32)
    again = answer(capsys, "train", "--config", tmp_path / "run" / "config.yaml", "--output", tmp_path / "again")
    assert (again["val_loss"], again["val_top1"]) == (done["val_loss"], done["val_top1"])
    further = ["train", "--data", data, "--weights", tmp_path / "run", *STILL, "--output", tmp_path / "further"]
    assert answer(capsys, *further)["epochs"] == 1


def test_training_begins_with_published_weights(
    tmp_path: Path, begun: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = []

    def load(name: str, **choices: object) -> vg.Trained:
        asked.append((name, choices))
        tested = vg.Preprocessing((48, 48), mean=(0.1, 0.2, 0.3), crop=1.0)
        return replace(vg.read_weights(begun, image=48), preprocessing=tested)

    monkeypatch.setattr("visiongraft.cli.values.load_pretrained", load)
    data = write_npz(tmp_path / "stripes.npz")
    words = ["--model", f"{NAME}.sw_in1k", "--pretrained", "--weights-dir", tmp_path, "--offline", "--image", "48"]
    done = answer(capsys, "train", "--data", data, *words, *STILL, "--output", tmp_path / "run")
    assert asked == [(f"{NAME}.sw_in1k", {"image": (48, 48), "weights_dir": tmp_path, "offline": True})]
    pre = vg.read_weights(done["weights"]).preprocessing
    assert (pre.mean, pre.image, pre.crop) == ((0.1, 0.2, 0.3), (48, 48), 1.0), "as its tests have it at that size"
    table = "stages.2.0.bias.table"
    expected = vg.load(begun, image=48).state_dict()[table]
    assert torch.allclose(parameters(done["weights"])[table], expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("restart", [False, True], ids=["--resume", "SLURM_RESTART_COUNT"])
def test_a_run_goes_on_without_the_weights_that_it_began_with(
    restart: bool, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    words = ["train", "--data", data, "--weights", begun, "--mean", "0.2,0.2,0.2", "--val-image", "48"]
    words += ["--epochs", "2", "--batch-size", "16", "--save-minutes", "0", "--output"]
    answer(capsys, *words, tmp_path / "through")
    through, again = RunFolder(tmp_path / "through"), RunFolder(tmp_path / "again")
    shutil.copytree(through.path, again.path)
    again.last.unlink()  # as if it had been killed before it wrote this one
    begun.unlink()
    if restart:
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        answer(capsys, *words, again.path)
    else:
        answer(capsys, "train", "--resume", again.path)
        text = complaint(capsys, "train", "--resume", again.path, "--weights", tmp_path / "other.safetensors")
        assert "other.safetensors cannot be read" in text
    assert same(ending(again), ending(through))


def test_eval_at_another_size_resamples_the_tables(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import visiongraft.cli.evaluate as verb

    judged, judge = [], verb.evaluate
    monkeypatch.setattr(
        verb, "evaluate", lambda network, *rest, **more: judged.append(network) or judge(network, *rest, **more)
    )
    answer(capsys, "eval", begun, "--data", write_npz(tmp_path / "stripes.npz"), "--image", "48")
    (network,) = judged
    expected = vg.load(begun).at(48).state_dict()
    assert all(torch.equal(each, expected[name]) for name, each in network.state_dict().items())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["eval", NAME, "--offline", "--weights-dir", "none"],
            f"{NAME}.sw_in1k is not in none, and nothing may be fetched (--offline). Fetch it once with the network,"
            " or say with --weights-dir where it is.",
        ),
        (
            ["predict", NAME, "x.jpg", "--weights-dir", "file"],
            "The folder of weights 'file' cannot be read: Not a directory. Give another --weights-dir.",
        ),
        (
            ["eval", f"{NAME}.sw_in2k"],
            f"{NAME} has no published weights with the tag 'sw_in2k'. Did you mean 'sw_in1k'?",
        ),
        (
            ["eval", "coatnet_nano_rv_224"],
            "'coatnet_nano_rv_224' is no file, no run folder and no network. Did you mean",
        ),
        (["eval", "botnet50"], "No weights are published for botnet50."),
        (["train", "--model", "coatnet_0_224", "--pretrained"], "No weights are published for coatnet_0_224."),
        (["train", "--pretrained"], "No weights are published for coatnet_pico."),
        (
            ["train", "--pretrained", "--weights", "x"],
            "--pretrained and --weights are two places to take weights from.",
        ),
        (
            ["train", "--model", f"{NAME}.sw_in1k"],
            f"--model {NAME}.sw_in1k names weights. To begin with them, add --pretrained; or leave out the tag.",
        ),
        (["train", "--weights", "none.safetensors"], "none.safetensors cannot be read: No such file or directory."),
        (
            ["train", "--model", "mine.pth"],
            "--model takes a name of `graft list`, and got 'mine.pth'. A weight file is given as --weights.",
        ),
        (["train", "--weights", "empty"], "empty holds no best.safetensors."),
        (["train", "--pretrained=yes"], "--pretrained takes no value, and got 'yes'."),
        (["train", "--config", "run.yaml"], "--pretrained takes true or false, and got 'maybe'."),
    ],
)
def test_what_goes_wrong_gets_one_line(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "run.yaml").write_text("pretrained: maybe\n")
    assert text in complaint(capsys, *words)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty", "file", "run.yaml"]


def test_ctrl_c_is_an_exception_while_weights_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    monkeypatch.setattr("visiongraft.cli.values.load_pretrained", stopped)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the command handles it: no exception
    try:
        with pytest.raises(KeyboardInterrupt):
            fetched(NAME, image=None, weights_dir=None, offline=True)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_weights_without_a_classifier_cannot_be_asked(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    vg.save(vg.create_model("coatnet_pico", num_classes=0), begun)
    pictures = write_folder(tmp_path / "data")
    assert complaint(capsys, "predict", begun, pictures) == (
        "graft: coatnet_pico has no classifier with these weights: it gives features and no classes. Train one, with"
        " `graft train`, or use other weights.\n"
    )
    assert "tells 0 classes apart" in complaint(capsys, "eval", begun, "--data", pictures, "--workers", "0")


def test_weights_of_another_network_are_refused(begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = complaint(capsys, "train", "--weights", begun, "--model", "botnet_pico", "--output", tmp_path / "run")
    assert "These are weights of coatnet_pico, and botnet_pico has other parts: they cannot be taken over." in text
    assert "needs at least" in complaint(capsys, "train", "--weights", begun, "--image", "5")
