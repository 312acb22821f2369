"""`graft compare`: what it is given, what it leaves behind, and how it goes on."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.running import answer, complaint
from tests.pictures import write_folder, write_npz
from visiongraft.cli import compare, groups
from visiongraft.cli.groups import Shown
from visiongraft.cli.main import main
from visiongraft.compare import trials
from visiongraft.compare.folder import ComparisonFolder
from visiongraft.compare.speed import measure_speeds
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import find_recipe
from visiongraft.weights.store import read

TWO = ("--models", "resnet_pico,convmixer_pico", "--image", "24", "--batch-size", "16", "--seeds", "2")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time networks in few rounds."""
    monkeypatch.setattr(trials, "measure_speeds", lambda *args, **more: measure_speeds(*args, **more, patience=0.0))


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "stripes.npz")


def test_a_comparison_leaves_a_table_a_page_and_its_runs_and_is_not_done_twice(
    tmp_path: Path, stripes: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.25", "--crop-pct", "0.9", "--rotation", "7.5")
    command = ("compare", *TWO, *shown, "--data", stripes, "--epochs", "1", "--output", tmp_path / "found")
    found = answer(capsys, *command)
    (row, other) = found["models"]
    assert (row["model"], other["model"]) == ("resnet_pico", "convmixer_pico")
    assert found["seeds"] == [0, 1]
    assert len(found["answers"]) == 1 and "convmixer_pico" in found["answers"][0]
    rows = list(csv.DictReader(Path(found["table"]).read_text().splitlines()))
    assert [float(each["top1"]) for each in rows] == pytest.approx([row["top1"], other["top1"]])
    assert found["answers"][0] in Path(found["report"]).read_text(encoding="utf-8")
    weights = ComparisonFolder(tmp_path / "found").run("resnet_pico", 1).best
    kept = Preprocessing((24, 24), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.25), crop=0.9)
    assert read(weights).preprocessing == kept
    scored = answer(capsys, "eval", weights, "--data", stripes)
    assert scored["top1"] == row["top1_seed_1"]
    assert main(["train", "--config", str(weights.with_name("config.yaml")), "--print-config"]) == 0
    assert "model: resnet_pico\n" in (again := capsys.readouterr().out) and "seed: 1\n" in again
    assert "mean: 0.5,0.4,0.3\n" in again and "std: 0.2,0.2,0.25\n" in again and "crop_pct: 0.9\n" in again
    assert "rotation: 7.5\n" in again

    monkeypatch.setattr(trials, "train", None)  # whoever trains now fails
    assert main([str(word) for word in command]) == 0
    printed = capsys.readouterr()
    assert "4 of 4 runs finished before" in printed.err
    assert printed.out.splitlines()[0].split() == ["top-1", "95%", "over", "seeds", "params", "MACs", "ms/image"]
    assert found["answers"][0] in printed.out


def test_a_budget_is_shared_out_by_what_was_timed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_folder(tmp_path / "stripes", train=16, val=8)
    words = ("--data", data, "--image", "24", "--batch-size", "8", "--seeds", "2", "--workers", "0")
    text = complaint(
        capsys,
        "compare",
        "--models",
        "resnet_pico,convmixer_pico",
        *words,
        "--budget",
        "0.001s",
        "--output",
        tmp_path / "a",
    )
    assert re.search(
        r"--budget 1s is too small: an epoch of \w+_pico, the slowest, takes about [\d.]+ s, and each of the 4", text
    )
    assert re.search(r"Give at least --budget \d+[sm], or fewer models or seeds\.", text)
    assert not (tmp_path / "a" / "plan.json").exists()


def test_the_same_question_finds_its_folder_again_and_another_one_does_not(tmp_path: Path, stripes: Path) -> None:
    names = []

    def name(plan, data) -> str:
        names.append(original(plan, data))
        raise KeyboardInterrupt

    original = compare._name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "_name", name)
        for more in ((), (), ("--seeds", "3"), ("--lr", "0.1"), ("--preset", "botnet-c5-pico")):
            words = ("compare", *(TWO if "--preset" not in more else ()), "--data", stripes, "--epochs", "1", *more)
            assert main([str(word) for word in words]) == 130
    assert names[0] == names[1]
    assert len(set(names)) == 4
    assert names[0].startswith("compare-resnet_pico-stripes-")
    assert names[4].startswith("compare-botnet-c5-pico-stripes-")


def test_a_recipe_by_name_is_that_of_all_runs_and_what_is_given_beside_it_wins(
    stripes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []

    def name(plan, data) -> str:
        plans.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "_name", name)
    models = ("--models", "resnet_pico,botnet_pico", "--data", str(stripes))
    assert main(["compare", "--recipe", "botnet_cifar", *models, "--lr", "0.05"]) == 130
    assert main(["compare", *models, "--epochs", "3"]) == 130
    recipe = find_recipe("botnet_cifar").recipe
    assert plans[0].recipe == replace(recipe, lr=0.05, keep="last")
    cifar = find_recipe("botnet_cifar")
    usual = Preprocessing()
    wanted = Shown(cifar.mean, cifar.std).over(usual, usual.image)
    assert plans[0].preprocessing == wanted != usual == plans[1].preprocessing
    assert main(["compare", "--recipe", "botnet_in1k_100", *models]) == 130
    assert plans[2].preprocessing == replace(usual, interpolation="bilinear")
    assert (plans[0].budget, plans[0].entries[0].epochs) == (17 * 60, 0)
    assert plans[1].recipe == Recipe(epochs=3, keep="last")
    assert (plans[1].budget, plans[1].entries[0].epochs) == (None, 3)


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    tmp_path: Path, stripes: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "train", train)
    words = ("compare", *TWO, "--data", stripes, "--epochs", "1", "--output", tmp_path / "found")
    assert main([str(word) for word in words]) == 130
    printed = capsys.readouterr()
    assert f"What is finished is kept in {tmp_path / 'found'}; the same command goes on." in printed.err
    assert printed.err.endswith("graft: stopped\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--models", "resnet_pico,botnetpico"], "No network is named 'botnetpico'. Did you mean 'botnet_pico'"),
        (["--models", "resnet_pico"], "A comparison needs at least two models, and got resnet_pico. Give more"),
        (["--models", ","], "A comparison needs at least two models, and got none."),
        (["--models", "resnet_pico, RESNET_pico"], "--models names resnet_pico twice. Name each model once"),
        (["--models", "a,b", "--preset", "botnet-c5"], "--models and --preset both say what to compare."),
        (["--preset", "botnet-c6"], "No preset is named 'botnet-c6'. Did you mean 'botnet-c5'"),
        (["--seeds", "1"], "--seeds must be at least 2, not 1: only several runs of a model show how much"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0."),
        (["--epochs", "5", "--budget", "5m"], "--epochs and --budget both say how long a run is. Give one of them."),
        (["--budget", "soon"], "--budget takes a time with its unit, as 90s, 20m or 1.5h, and got 'soon'."),
        (["--budget", "20"], "--budget takes a time with its unit, as 90s, 20m or 1.5h, and got '20'."),
        (["--against", "botnet"], "--against names 'botnet', which is not compared. Did you mean 'botnet_pico'"),
        (
            ["--models", "resnet50,convmixer_pico", "--image", "3"],
            "resnet50 needs at least 17x17 pixels, and got 3x3.",
        ),
        (["--recipe", "botnet_cifer"], "No recipe is named 'botnet_cifer'. Did you mean 'botnet_cifar'"),
        (
            ["--recipe", "coatnet_in1k_384"],
            "begins with trained weights. Add --pretrained or --weights FILE.",
        ),
        (["--mean", "0.5"], "--mean takes a number for each of red, green and blue"),
        (["--max-unreadable", "2"], "--max-unreadable must be in [0, 1], not 2.0."),
        (["--model", "resnet_pico"], "there is no option --model. Did you mean '--models'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_data_is_read(
    words: list[str], text: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "open_data", None)
    assert text in complaint(capsys, "compare", *words)


def test_the_folder_of_another_comparison_is_refused(
    tmp_path: Path, stripes: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "train", train)
    words = ("compare", *TWO, "--data", stripes, "--epochs", "1", "--output", tmp_path / "found")
    assert main([str(word) for word in words]) == 130
    capsys.readouterr()
    assert "it has 2 seeds and not 3 seeds. Give another --output, or what it has." in complaint(
        capsys, *words, "--seeds", "3"
    )


def test_one_image_to_be_scored_on_is_too_few(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_npz(tmp_path / "few.npz", val=1)
    assert "has one image to be scored on, and a comparison needs more." in complaint(
        capsys, "compare", *TWO, "--data", data, "--epochs", "1", "--output", tmp_path / "found"
    )
