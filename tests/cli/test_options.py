"""What a user writes behind a verb, and in a configuration."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tests.cli.running import answer, complaint
from visiongraft.cli import compare, train
from visiongraft.cli.arguments import flat, gathered, options_of, usual
from visiongraft.cli.groups import Images
from visiongraft.cli.main import main
from visiongraft.cli.options import parse
from visiongraft.cli.verbs import VERBS
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import DEFAULT, find_recipe


def explain(verb: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([verb, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_the_help_speaks_of_what_to_write_and_not_of_pythons_types(
    verb: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    text = explain(verb, width, monkeypatch, capsys)
    for foreign in ("type:", "null", "None", "Union", "Literal", "<class", "Path ", "=flags", "SUPPRESS", "\b"):
        assert foreign not in text
    assert text.startswith(f"usage: graft {verb} [OPTIONS]")
    described, _, examples = text.partition("\nexamples:\n")
    assert max(map(len, described.splitlines())) <= width
    assert all(line.startswith(f"  graft {verb}") for line in examples.splitlines() if line)


def test_the_help_shows_what_an_option_takes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    text = explain("train", 120, monkeypatch, capsys)
    assert "\n  --image SIZE            size in pixels, as 224 or as 256x128" in text
    assert "\n  --workers {auto,N} " in text
    assert "\n  --output PATH " in text
    assert "dropping a feature before the classifier, in [0, 1) (default: 0.0)" in " ".join(text.split())
    assert "Without options: a small CoAtNet" in text
    assert "usage: graft predict [OPTIONS] WEIGHTS INPUTS...\n" in explain("predict", 120, monkeypatch, capsys)


def test_each_choice_of_a_recipe_is_an_option_wherever_networks_are_trained_with_the_recipes_default() -> None:
    chosen = {each.name: each.default for each in fields(Recipe)}
    assert chosen.items() <= usual(train.run).items()
    chosen = {name: value for name, value in chosen.items() if name not in {"epochs", "seed", "keep"}}
    assert chosen.items() <= usual(compare.run).items()  # which has epochs and seeds of its own


def test_a_command_without_a_word_behind_its_verb_has_every_default() -> None:
    chosen = parse(next(each for each in VERBS if each.name == "train"), [])
    assert chosen is not None
    assert chosen.arguments["how"] == find_recipe(DEFAULT).recipe


def test_what_options_are_made_of_can_be_put_together_and_taken_apart() -> None:
    values = usual(train.run) | {"lr": 0.5, "data": "photos"}
    arguments = gathered(train.run, values)
    assert arguments["how"] == Recipe(lr=0.5)
    assert arguments["images"] == Images(data="photos")
    assert not {"lr", "data"} & arguments.keys()
    assert flat(train.run, arguments) == values


def test_an_option_that_the_help_speaks_of_is_spelt_as_it_is_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    text = " ".join(explain("train", 120, monkeypatch, capsys).split())
    assert "where it rises from, at most --lr (default: 0.0)" in text
    assert "by --decay-rate at each step of --decay-epochs, or at the late_steps of detectors" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["train", "--json=maybe"], "--json takes no value, and got 'maybe'. See `graft train --help`."),
        (["train", "--json", "maybe"], "nothing is expected where 'maybe' came. See `graft train --help`."),
        (["info", "resnet50", "--num-classes", "seven"], "--num-classes takes a whole number, and got 'seven'."),
        (["train", "--seed", "1.5"], "--seed takes a whole number, and got '1.5'."),
        (["train", "--lr="], "--lr takes a number, and got ''."),
        (["train", "--output", ""], "An empty value came behind '--output'."),
        (["predict", "", "a.png"], "An empty value came behind the verb."),
        (["predict", "w.safetensors", "-a.png"], "no option -a.png. A file that is called so is given as ./-a.png."),
        (
            ["train", "--data", "-a"],
            "One that begins with a dash is given as --data=-VALUE.",
        ),
        (
            ["info", "resnet50", "--num-classes", "9" * 20],
            f"--num-classes takes a number below {2**31}, and got 999",
        ),
        (["train", "--lr", "nan"], "--lr takes a number, and got 'nan'."),
        (["train", "--lr", ".nan"], "--lr takes a number, and got nan."),
        (["train", "--warmup-epochs", "inf"], "--warmup-epochs takes a number, and got 'inf'."),
        (["train", "--clip-grad", ".inf"], "--clip-grad takes a number, and got inf."),
        (["train", "--workers", "many"], "--workers takes auto or a whole number, and got 'many'."),
        (["train", "--config"], "--config needs a value behind it."),
    ],
)
def test_a_value_of_another_kind_is_refused(words: list[str], text: str, capsys: pytest.CaptureFixture) -> None:
    assert text in complaint(capsys, *words)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"epoch: 3\n", "has an unknown option 'epoch'. Did you mean 'epochs'"),
        (b"", "is empty."),
        (b"# nothing\n", "is empty."),
        (b"- epochs\n- 3\n", "holds a list, and no names with values."),
        (b"12\n", "holds a single value, and no names with values."),
        (b"epochs: [3\n", "is no YAML in line 2: expected ',' or ']', but got '<stream end>'."),
        (b"a: b: c\n", "is no YAML in line 1: mapping values are not allowed here."),
        (b"\x89PNG\r\n\x1a\n\0", "is no text."),
        (b"epochs: \0\n", "is no text."),
        (b"config: other.yaml\n", "has an unknown option 'config'."),
        (b"epochs: many\n", "--epochs takes a whole number, and got 'many'."),
        (b"data: 5\n", "--data takes text, which YAML wants in quotes if it looks like a number, and got '5'."),
        (b"image: [1, 2]\n", "--image takes a size in pixels, as 224 or as 256x128, and got '[1, 2]'."),
        (b"warmup_epochs: .inf\n", "--warmup-epochs takes a number, and got inf."),
        (b"json: maybe\n", "--json takes true or false, and got 'maybe'."),
    ],
)
def test_a_configuration_that_is_none_gets_one_line(
    content: bytes, text: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    assert text in complaint(capsys, "train", "--data", "no/such", "--config", tmp_path / "run.yaml")


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_null_is_refused_for_every_option_that_cannot_be_left_open(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    run = next(each for each in VERBS if each.name == verb).load().run
    for each in options_of(run):
        name = each.name
        if each.form in {"word", "words"}:
            continue
        Path("b.yaml").write_text(f"{name}: null\n")
        if each.default is None:
            assert main([verb, "--config", "b.yaml", "--print-config"]) == 0
            capsys.readouterr()
        else:
            text = complaint(capsys, verb, "--config", "b.yaml")
            assert text.startswith(f"graft: --{name.replace('_', '-')} takes ")
            assert text.endswith(", and got null in b.yaml.\n")
    Path("b.yaml").write_text("json: null\n")
    assert (
        complaint(capsys, verb, "--config", "b.yaml") == "graft: --json takes true or false, and got null in b.yaml.\n"
    )


def test_the_help_of_predict_says_what_becomes_of_files_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    text = " ".join(explain("predict", 120, monkeypatch, capsys).split())
    assert (
        "Files that cannot be read are listed with the reason, and the exit code is 0 unless none of them can." in text
    )
    assert "print the result as one JSON value, and nothing else" in text


def test_null_gets_the_words_of_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.yaml").write_text("batch-size: null\n")
    text = complaint(capsys, "train", "--config", "b.yaml")
    assert text == "graft: --batch-size takes a whole number, and got null in b.yaml.\n"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("inputs: a.png", "INPUTS takes a list, each item a path, and got a.png in b.yaml.\n"),
        ("inputs: 5", "INPUTS takes a list, each item a path, and got 5 in b.yaml.\n"),
        ("inputs: [a.png, 5]", "INPUTS takes a list, each item a path, and got [a.png, 5] in b.yaml.\n"),
        ("inputs: [null]", "INPUTS takes a list, each item a path, and got [null] in b.yaml.\n"),
        ("inputs: {a: b}", "INPUTS takes a list, each item a path, and got {a: b} in b.yaml.\n"),
        ("inputs: []", "INPUTS takes a list, each item a path, and got [] in b.yaml.\n"),
        ("inputs: null", "INPUTS is missing."),
        ("inputs: [a.png]\nweights: 5", "WEIGHTS takes a path, and got 5 in b.yaml.\n"),
        ("inputs: [a.png]\ncsv: 5", "--csv takes a path, and got '5'."),
    ],
)
def test_paths_in_a_configuration_are_looked_at(
    content: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.yaml").write_text(content + "\n")
    assert text in complaint(capsys, "predict", "--config", "b.yaml", *([] if "weights" in content else ["w"]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing.yaml", "No such file or directory"), (".", "Is a directory"), ("x" * 300, "File name too long")],
)
def test_a_configuration_that_cannot_be_read_is_named(name: str, reason: str, capsys: pytest.CaptureFixture) -> None:
    remedy = "Give a YAML file of options, such as --print-config prints."
    assert (
        complaint(capsys, "train", "--config", name)
        == f"graft: --config {name!r} cannot be read: {reason}. {remedy}\n"
    )


@pytest.mark.parametrize("behind", [0, 2, 4])
def test_what_is_typed_wins_wherever_the_configuration_stands(
    behind: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text("weights: of_a.pth\nmodel: resnet50\nimage: 96\ntake: last\n")
    (tmp_path / "b.yaml").write_text("model: botnet50\nimage: 128\n")
    words = ["typed.pth", "out.safetensors", "--image", "64", "--from=timm", "--print-config"]
    files = ["--config", str(tmp_path / "a.yaml"), f"--config={tmp_path / 'b.yaml'}"]
    assert main(["convert", *words[:behind], *files, *words[behind:]]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert {name: found[name] for name in ("weights", "image", "model", "take")} == {
        "weights": "typed.pth",
        "image": 64,
        "model": "botnet50",  # the later one of two files
        "take": "last",
    }


def test_an_argument_that_may_be_left_out_is_taken_from_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text("pattern: bot*\n")
    config = ["--config", tmp_path / "a.yaml"]
    from_file = answer(capsys, "list", *config)
    assert from_file == answer(capsys, "list", "bot*") != answer(capsys, "list")
    assert answer(capsys, "list", "cot*", *config) == answer(capsys, "list", "cot*")


def test_a_number_that_yaml_reads_in_sixties_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (config := tmp_path / "a.yaml").write_text("image: 1:30\n")
    assert complaint(capsys, "train", "--config", config) == (
        f"graft: --config {str(config)!r} has image: 1:30, which YAML reads as 90. Quote it.\n"
    )


@pytest.mark.parametrize(("words", "shown"), [(["\udcff.pth", "x.png"], "WEIGHTS"), (["w", "\udcff.png"], "INPUTS")])
def test_a_path_that_is_no_utf_8_is_refused_in_words(
    words: list[str], shown: str, capsys: pytest.CaptureFixture
) -> None:
    assert complaint(capsys, "predict", *words) == (
        f"graft: {shown} takes a path in UTF-8, and got one with other bytes. Rename what lies there."
        " See `graft predict --help`.\n"
    )


def test_a_configuration_may_spell_options_with_hyphens(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "run.yaml").write_text("batch-size: 3\nlr: 1e-3\n")
    assert main(["train", "--config", str(tmp_path / "run.yaml"), "--print-config"]) == 0
    text = capsys.readouterr().out
    assert "batch_size: 3\n" in text
    assert "lr: 0.001\n" in text
