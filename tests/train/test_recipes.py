"""The named recipes are what their sources say, and each of them trains."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from scripts.make_recipe_page import section
from tests.cli.running import complaint
from tests.networks import PICOS
from tests.pictures import SIDE, write_npz
from visiongraft.cli.main import main
from visiongraft.data.sources import open_data
from visiongraft.errors import GraftError
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import train
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import DEFAULT, RECIPES, find_recipe
from visiongraft.train.run import plan_run
from visiongraft.train.schedule import rate_at
from visiongraft.weights.store import read

PUBLISHED = {
    "botnet_cifar": {
        "epochs": 100, "batch_size": 128, "opt": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4,
        "clip_grad": 2.0, "sched": "cosine", "min_lr": 0.0, "warmup_epochs": 0.0, "cutout": 8,
        "crop_padding": 4, "label_smoothing": 0.0,
        "dropout": 0.3, "flip": 0.5,
    },
    "botnet_in1k_100": {
        "epochs": 100, "batch_size": 256, "opt": "nesterov", "lr": 0.2, "momentum": 0.9, "weight_decay": 5e-5,
        "sched": "cosine", "warmup_epochs": 5.0, "warmup_lr": 0.2 / 10,
    },
    "coatnet_in1k": {
        "epochs": 300, "batch_size": 4096, "opt": "adamw", "lr": 1e-3, "min_lr": 1e-5, "weight_decay": 0.05,
        "clip_grad": 1.0, "mixup": 0.8, "label_smoothing": 0.1, "drop_path": 0.2, "model_ema_decay": 0.0,
        "sched": "cosine", "warmup_epochs": round(10_000 / (1_281_167 / 4096)), "aa": "rand-m15-n2-p1",
    },
    "coatnet_in1k_384": {
        "epochs": 30, "batch_size": 512, "lr": 5e-5, "min_lr": 5e-5, "weight_decay": 1e-8, "warmup_epochs": 0.0,
        "clip_grad": 1.0, "model_ema_decay": 0.9999, "mixup": 0.8, "drop_path": 0.2, "aa": "rand-m15-n2-p1",
    },
    "coatnet_in1k_512": {"epochs": 30, "batch_size": 512, "lr": 5e-5, "model_ema_decay": 0.9999, "drop_path": 0.5},
    "convmixer_in1k": {
        "epochs": 150, "batch_size": 10 * 64, "opt": "adamw", "opt_eps": 1e-3, "lr": 0.01, "sched": "onecycle",
        "aa": "rand-m9-mstd0.5-inc1", "cutmix": 0.5, "mixup": 0.5, "reprob": 0.25, "remode": "pixel", "clip_grad": 1.0,
        "precision": "bfloat16",
    },
    "convmixer_cifar": {
        "epochs": 25, "batch_size": 512, "opt": "adamw", "lr": 0.05, "weight_decay": 0.005, "sched": "onecycle",
        "crop_scale": 1.0, "crop_ratio": 1.0, "color_jitter": 0.0, "reprob": 0.0,
    },
    "convmixer_cifar_100": {"epochs": 100, "batch_size": 512, "lr": 0.05, "color_jitter": 0.2, "reprob": 0.2},
    "convmixer_cifar_200": {
        "epochs": 200, "batch_size": 64, "opt": "adamw", "opt_eps": 1e-3, "lr": 0.01, "weight_decay": 0.01,
        "crop_scale": 0.75, "cutmix": 0.5, "mixup": 0.5, "reprob": 0.25, "clip_grad": 1.0,
        "aa": "rand-m9-mstd0.5-inc1",
    },
    "cotnet_in1k_advanced": {
        "epochs": 350, "batch_size": 8 * 80, "opt": "nesterov", "lr": 0.25, "warmup_epochs": 5.0, "warmup_lr": 1e-4,
        "min_lr": 1e-5, "weight_decay": 4e-5, "dropout": 0.25, "drop_path": 0.1, "model_ema_decay": 0.9999,
        "label_smoothing": 0.1, "aa": "rand-m15-mstd0.5-n2", "mixup": 0.8, "cutmix": 1.0, "mixup_switch_prob": 0.5,
        "crop_scale": 0.08, "reprob": 0.0,
    },
}  # fmt: skip
"""What the sources say; batches of several devices are multiplied out."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_holds_the_numbers_of_its_source(name: str) -> None:
    recipe = find_recipe(name).recipe
    assert {each: getattr(recipe, each) for each in PUBLISHED[name]} == PUBLISHED[name]


def test_these_numbers_are_those_of_the_projects_facts(shared: Path) -> None:
    facts = json.loads((shared / "facts" / "facts.json").read_text())
    advanced, cot = facts["cotnet"]["advanced_recipe"], find_recipe("cotnet_in1k_advanced").recipe
    for name in (
        "epochs",
        "warmup_epochs",
        "warmup_lr",
        "min_lr",
        "sched",
        "dropout",
        "label_smoothing",
        "aa",
        "mixup",
    ):
        assert getattr(cot, name) == advanced[name], name
    assert cot.batch_size == advanced["gpus"] * advanced["batch_per_gpu"]["CoTNet-50"]
    assert (cot.lr, cot.weight_decay) == (advanced["lr"]["CoTNet-50"], advanced["weight_decay"]["default"])
    assert (cot.cutmix, cot.mixup_switch_prob) == (advanced["cutmix"], advanced["mix_switch"])
    assert (cot.model_ema_decay, cot.drop_path) == (advanced["ema"], advanced["drop_path"]["default"])
    readme, mixer = facts["convmixer"]["imagenet_recipe"], find_recipe("convmixer_in1k")
    for name in ("opt", "opt_eps", "epochs", "lr", "aa", "cutmix", "mixup", "reprob", "remode", "clip_grad"):
        assert getattr(mixer.recipe, name) == readme[name], name
    assert mixer.recipe.batch_size == readme["gpus"] * readme["batch_per_gpu"]
    assert mixer.crop_pct == readme["test_crop_pct"]
    cifar = facts["convmixer"]["cifar10"]["convmixer-cifar10_repo"]
    for each in (find_recipe("convmixer_cifar"), find_recipe("convmixer_cifar_100")):
        assert each.recipe.batch_size == cifar["batch"]
        assert [float(number) for number in (each.mean or "").split(",")] == cifar["mean"]
        assert [float(number) for number in (each.std or "").split(",")] == cifar["std"]
    table = facts["coatnet"]["table10_hparams"]
    for column, name in enumerate(("coatnet_in1k", "coatnet_in1k_384")):
        recipe = find_recipe(name).recipe
        assert (recipe.epochs, recipe.batch_size) == (table["epochs"][column], table["batch"][column])
        assert (recipe.mixup, recipe.label_smoothing) == (
            table["mixup_alpha"][column],
            table["label_smoothing"][column],
        )
        assert (recipe.lr, recipe.min_lr) == (float(table["peak_lr"][column]), float(table["min_lr"][column]))
        assert (recipe.weight_decay, recipe.clip_grad) == (table["weight_decay"][column], table["grad_clip"])
        assert recipe.model_ema_decay == (table["ema"][column] or 0.0)
    listing, bot = (
        facts["reference_repos"]["pprp/pytorch-cifar-model-zoo"]["defaults"],
        find_recipe("botnet_cifar").recipe,
    )
    assert (bot.momentum, bot.weight_decay, bot.clip_grad) == (
        listing["momentum"], listing["weight_decay"], listing["gradient_clip"],
    )  # fmt: skip


def test_each_network_whose_numbers_differ_in_the_source_is_told_its_own(shared: Path) -> None:
    facts = json.loads((shared / "facts" / "facts.json").read_text())["cotnet"]["advanced_recipe"]
    told = " ".join(find_recipe("cotnet_in1k_advanced").departures)
    options = {"lr": "--lr {}", "weight_decay": "--weight-decay {}", "drop_path": "--drop-path {}"}
    for name, images in facts["batch_per_gpu"].items():
        own = told[told.index(name) :]
        if (images, facts["lr"][name]) == (80, 0.25):
            continue
        assert f"--batch-size {facts['gpus'] * images}" in own
        for key, words in options.items():
            if name in facts[key]:
                assert words.format(f"{facts[key][name]:g}".replace("e-0", "e-")) in own, (name, key)


def test_a_recipe_says_how_images_are_resized_where_its_source_does(capsys: pytest.CaptureFixture) -> None:
    for name in ("botnet_in1k_100", "cotnet_in1k"):
        assert printed(capsys, "--recipe", name)["interpolation"] == "bilinear"
    assert printed(capsys, "--recipe", "cotnet_in1k_advanced")["interpolation"] == "null"


def test_the_learning_rate_of_fine_tuning_is_constant() -> None:
    recipe = find_recipe("coatnet_in1k_384").recipe
    assert {rate_at(recipe, step, steps=100) for step in range(100)} == {5e-5}


@pytest.mark.parametrize("name", [each.name for each in RECIPES])
def test_every_recipe_trains_two_steps_of_a_small_network(name: str, tmp_path: Path) -> None:
    named = find_recipe(name)
    family = get_spec(named.model)
    assert named.image is None or family.at(named.image).grids(family.at(named.image).image)
    model = next(
        (each for each in PICOS if each.split("_")[0] == named.model.split("_")[0].rstrip("0123456789")), None
    )
    spec = get_spec(model or "resnet_pico").at(SIDE)
    recipe = replace(named.recipe, epochs=1, batch_size=8, precision="float32", lr=1e-3, min_lr=0.0, warmup_lr=0.0)
    data = open_data(write_npz(tmp_path / "stripes.npz", train=16, val=8))
    job = Classifying(spec, data, recipe, Preprocessing(spec.image))
    trained = train(job, plan_run(tmp_path / "run", name=""), hardware=Hardware(torch.device("cpu")))
    assert math.isfinite(trained.evaluation.loss)
    assert read(trained.run.best).scores["val_loss"] == trained.evaluation.loss


def test_each_recipe_says_where_it_comes_from_and_what_was_measured() -> None:
    assert len({each.name for each in RECIPES}) == len(RECIPES)
    for each in RECIPES:
        assert each.source
        assert each.published
        assert each.measured
        assert f"--recipe {each.name}" in each.command
    assert find_recipe(DEFAULT).recipe == Recipe()
    assert find_recipe(DEFAULT).model == "coatnet_pico"


def test_the_page_holds_every_recipe_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    assert "".join(map(section, RECIPES)) in page, "run python -m scripts.make_recipe_page"


def test_a_name_that_is_no_recipe_gets_the_nearest(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(GraftError, match="No recipe is named 'botnet'.*`graft list --recipes` shows all."):
        find_recipe("botnet")
    text = complaint(capsys, "train", "--recipe", "convmixer_cifr")
    assert "No recipe is named 'convmixer_cifr'. Did you mean 'convmixer_cifar'" in text
    assert len(text.splitlines()) == 1


def test_a_recipe_without_a_name_is_an_option_without_a_value(capsys: pytest.CaptureFixture) -> None:
    assert "--recipe needs a value behind it." in complaint(capsys, "train", "--recipe", "--lr", "0.1")


def printed(capsys: pytest.CaptureFixture, *words: str) -> dict[str, str]:
    assert main(["train", *words, "--print-config"]) == 0
    return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())


def test_a_recipe_gives_the_defaults_and_options_beside_it_win(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = printed(capsys, "--lr", "0.05", "--recipe", "botnet_cifar", "--cutout=4")
    assert (found["lr"], found["cutout"], found["momentum"]) == ("0.05", "4", "0.9")
    assert (found["weight_decay"], found["image"], found["std"]) == ("0.0005", "32", "0.2023,0.1994,0.2010")
    (tmp_path / "own.yaml").write_text("recipe: convmixer_cifar\nepochs: 7\n")
    found = printed(capsys, "--config", str(tmp_path / "own.yaml"), "--lr", "0.02")
    assert (found["recipe"], found["epochs"], found["lr"]) == ("convmixer_cifar", "7", "0.02")
    assert (found["batch_size"], found["sched"]) == ("512", "onecycle")
    again = tmp_path / "again.yaml"
    again.write_text("".join(f"{name}: {value}\n" for name, value in found.items()))
    assert printed(capsys, "--config", str(again)) == found
    plain = printed(capsys)
    assert plain["recipe"] == DEFAULT
    assert plain["lr"] == "0.008"


def test_two_recipes_for_one_run_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("recipe: convmixer_cifar\n")
    text = complaint(capsys, "train", "--recipe", "botnet_cifar", "--config", config)
    assert text == (
        f"graft: --recipe botnet_cifar and --config {str(config)!r}, which is of the recipe 'convmixer_cifar', are two"
        " recipes. Leave out one of them.\n"
    )


def test_a_recipe_of_fine_tuning_asks_for_weights(capsys: pytest.CaptureFixture) -> None:
    text = complaint(capsys, "train", "--recipe", "coatnet_in1k_384")
    assert "--recipe coatnet_in1k_384 begins with trained weights. Give them as in `graft train --recipe" in text


def test_the_help_shows_a_recipes_defaults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "--recipe", "convmixer_in1k", "--help"]) == 0
    assert "--batch-size N          images per step, over all devices (default: 640)" in capsys.readouterr().out


def test_recipes_are_listed(capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "--recipes", "convmixer_cifar*"]) == 0
    text = capsys.readouterr().out
    assert "convmixer_cifar_100\n  command    graft train --recipe convmixer_cifar_100 --data cifar10" in text
    assert "  published  92.60% (CIFAR-10)\n  measured   " in text
    assert "botnet" not in text
    assert "No recipe matches 'botnetz'. Did you mean 'botnet_cifar'" in complaint(
        capsys, "list", "botnetz", "--recipes"
    )


def test_every_field_of_a_recipe_is_an_option_with_its_default(capsys: pytest.CaptureFixture) -> None:
    found = printed(capsys)
    for each in fields(Recipe):
        text = found[each.name]
        assert text == str(each.default) or float(text) == each.default


def run(tmp_path: Path, *words: str) -> Path:
    data = write_npz(tmp_path / "stripes.npz", train=32, val=16)
    output = tmp_path / "run"
    assert (
        main(["train", "--data", str(data), "--output", str(output), "--epochs", "1", "--batch-size", "16", *words])
        == 0
    )
    return output


def test_a_run_validates_at_its_own_size_and_its_file_scores_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = [
        "--image",
        "24",
        "--val-image",
        "32",
        "--mean",
        "0.5,0.4,0.3",
        "--std",
        "0.2,0.2,0.3",
        "--crop-pct",
        "1.0",
    ]
    output = run(tmp_path, *words, "--interpolation", "bilinear")
    trained = read(output / "best.safetensors")
    wanted = Preprocessing((32, 32), (0.5, 0.4, 0.3), (0.2, 0.2, 0.3), "bilinear", 1.0)
    assert trained.preprocessing == wanted
    assert trained.network.spec.image == (24, 24)
    capsys.readouterr()
    assert main(["eval", str(output), "--data", str(tmp_path / "stripes.npz"), "--json"]) == 0
    assert f'"loss": {trained.scores["val_loss"]}' in capsys.readouterr().out
    page = (output / "report.html").read_text()
    assert "--val-image 32" in page


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["--mean", "0.5,0.5"],
            "--mean takes a number for each of red, green and blue, as 0.49,0.48,0.45, and got '0.5,",
        ),
        (["--std", "a,b,c"], "--std takes a number for each"),
        (["--val-image", "big"], "--val-image takes pixels, as 224 or as 256x128"),
        (["--freeze", "stage7"], "--freeze 'stage7' is no part of coatnet_pico. Did you mean 'stage"),
        (["--crop-pct", "1.5"], "A central crop of 1.5 cannot be taken. Expected a share in (0, 1]."),
    ],
)
def test_what_cannot_be_shown_is_refused(words: list[str], text: str, capsys: pytest.CaptureFixture) -> None:
    assert text in complaint(capsys, "train", "--data", "no/such", *words)


def test_a_run_of_a_recipe_writes_what_repeats_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = run(tmp_path, "--recipe", "convmixer_cifar", "--model", "convmixer_pico", "--precision", "float32")
    config = (output / "config.yaml").read_text()
    assert "recipe: convmixer_cifar\n" in config
    assert "model: convmixer_pico\n" in config
    assert "sched: onecycle\n" in config
    again = tmp_path / "again"
    assert main(["train", "--config", str(output / "config.yaml"), "--output", str(again)]) == 0
    one, other = (read(each / "best.safetensors").network.state_dict() for each in (output, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    page = (output / "report.html").read_text()
    assert "--recipe convmixer_cifar" in page
    assert "--sched" not in page.split("<pre")[1].split("</pre>")[0]


@pytest.mark.parametrize("name", [each.name for each in RECIPES])
def test_every_recipe_can_be_timed_at_a_standstill(name: str) -> None:
    recipe = find_recipe(name).recipe
    still = recipe.at_a_standstill()
    assert max(rate_at(still, step, steps=1000) for step in range(1000)) <= 1e-6
    assert replace(still, lr=recipe.lr, min_lr=recipe.min_lr, warmup_lr=recipe.warmup_lr) == recipe
