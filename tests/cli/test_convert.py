"""`graft convert` writes one of our files from one of others, or says in one line what to do and leaves nothing."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.cli.running import answer, complaint
from tests.weights.shapes import PICO, numbers, shapes
from visiongraft.cli.main import main
from visiongraft.spec import Backbone
from visiongraft.train.run import RunFolder
from visiongraft.weights.convert import convert
from visiongraft.weights.models import create_model
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.store import read, save

NAME = "convmixer_pico"
FROM = ["--from", "convmixer", "--model", NAME]
FIRST = "3.0.fn.0.weight"


def foreign(spec: Backbone) -> dict[str, Tensor]:
    """Give random weights by the authors' names; that these are theirs is tested in tests/parity."""
    return numbers(spec, SOURCES["convmixer"][spec.name])


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return foreign(create_model(NAME, num_classes=7, in_chans=1).spec)


def test_a_fine_tuned_checkpoint_becomes_a_file_that_the_other_verbs_take(
    tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    rgb = foreign(create_model(NAME, num_classes=7).spec)
    wrapped = {f"module.{name}": each for name, each in rgb.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "mine.pth.tar")
    found = answer(capsys, "convert", tmp_path / "mine.pth.tar", *FROM, tmp_path / "m.safetensors")
    spec = create_model(NAME, num_classes=7).spec
    assert found == {
        "file": str(tmp_path / "m.safetensors"),
        "name": NAME,
        "num_classes": 7,
        "in_chans": 3,
        "image": [64, 64],
        "params": sum(each.numel() for each in create_model(spec).parameters()),
        "taken": "state_dict",
        "averaged": False,
        "not_taken": [],
        "prefix": "module.",
        "tensors": len(rgb),
        "renamed": len(rgb),
        "rearranged": 0,
        "preprocessing": {**found["preprocessing"], "image": [64, 64], "crop": 0.875},
        "preprocessing_assumed": True,
    }
    written = read(tmp_path / "m.safetensors")
    assert written.network.spec == spec
    wanted = convert(rgb, source="convmixer", name=spec)
    assert all(torch.equal(each, wanted[name]) for name, each in written.network.state_dict().items())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.safetensors", "mine.pth.tar"]


def test_what_was_done_is_said(tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture) -> None:
    averaged = {name: each + 1 for name, each in weights.items()}
    torch.save({"state_dict": weights, "state_dict_ema": averaged}, tmp_path / "both.pth")
    words = ["convert", str(tmp_path / "both.pth"), str(tmp_path / "m.safetensors"), *FROM]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert f"m.safetensors: {NAME}, 0.90 million parameters, 7 classes, 1 channel, 64x64 pixels\n" in text
    assert "weights  the averaged ones, state_dict_ema; not taken: state_dict\n" in text
    assert f"tensors  {len(weights)} read, {len(weights)} renamed, 0 rearranged; none left over\n" in text
    assert "mean 0.485 0.456 0.406, std 0.229 0.224 0.225; assumed, since this source's own is not known\n" in text
    first = load_file(tmp_path / "m.safetensors")["stem.0.bias"]
    assert torch.equal(first, averaged["0.bias"])
    assert main([*words, "--take", "last", "--existing", "replace"]) == 0
    assert "the last ones, state_dict; not taken: state_dict_ema\n" in capsys.readouterr().out
    assert torch.equal(load_file(tmp_path / "m.safetensors")["stem.0.bias"], weights["0.bias"])


def test_what_a_wrapper_put_before_every_name_is_taken_off_and_said(
    tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    torch.save({"state_dict": {f"module.model.{name}": each for name, each in weights.items()}}, tmp_path / "in.ckpt")
    assert main(["convert", str(tmp_path / "in.ckpt"), str(tmp_path / "m.safetensors"), *FROM]) == 0
    text = capsys.readouterr().out
    assert f"tensors  {len(weights)} read, 'module.model.' taken off every name, {len(weights)} renamed, 0" in text
    assert torch.equal(load_file(tmp_path / "m.safetensors")["stem.0.bias"], weights["0.bias"])


def test_a_file_that_is_there_is_kept_unless_told(
    tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    save_file(weights, tmp_path / "in.safetensors")
    (tmp_path / "out.safetensors").write_text("precious")
    said = complaint(capsys, "convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors", *FROM)
    assert "out.safetensors' is there already. Give another OUTPUT, or --existing replace." in said
    assert (tmp_path / "out.safetensors").read_text() == "precious"
    assert main(["convert", *map(str, (tmp_path / "in.safetensors", tmp_path / "in.safetensors")), *FROM,
                 "--existing", "replace"]) == 0  # even onto itself  # fmt: skip
    assert read(tmp_path / "in.safetensors").network.spec.name == NAME
    capsys.readouterr()
    said = complaint(capsys, "convert", tmp_path / "in.safetensors", tmp_path / "again.safetensors", *FROM)
    assert "in.safetensors' is a file of ours already. Use it as it is" in said


def without(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: each for key, each in weights.items() if key != name}


def spoilt(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    bad = weights[FIRST].clone()
    bad[0] = float("nan")
    return weights | {FIRST: bad}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda weights: without(weights, FIRST) | {"3.0.fn.weight": weights[FIRST]},
         f"{FIRST!r} is missing; '3.0.fn.weight' is left over. If '3.0.fn.weight' is {FIRST!r} by another name, re"),
        (lambda weights: without(weights, FIRST),
         f"These weights do not fit convmixer's {NAME}: {FIRST!r} is missing. Take them from their source again, or"),
        (lambda weights: weights | {"ema": torch.ones(1)}, f"convmixer's {NAME}: 'ema' is left over. All of the"
         " network is there: if the rest is of a loss or a metric, give the weights without it.\n"),
        (lambda weights: weights | {"17.bias": torch.ones(5)},
         f"graft: These weights do not fit convmixer's {NAME}: '17.weight' has the shape (7, 256) and '17.bias' has"
         " the shape (5,), which are two numbers of classes. Take both from one training.\n"),
        (lambda weights: {f"module.{name}": each for name, each in without(weights, FIRST).items()},
         f"graft: These weights do not fit convmixer's {NAME}: {FIRST!r} is missing. Take them from their source"
         " again, or ask for the network that they are of."
         " (Told without the prefix 'module.' that all names have.)\n"),
        (lambda weights: {"module.loss.w": torch.ones(3), **{f"module.net.{key}": weights[key] for key in weights}},
         "Their network seems to be what 'module.net' holds, among other things: take that out, with"
        " torch.save({name: each for name, each in STATE_DICT.items() if name.startswith('module.net.')}, NEW), where"
        " STATE_DICT is such as torch.load(FILE)['state_dict'], and give that.\n"),
        (lambda weights: {name: each.numpy() for name, each in weights.items()}, "in.pth holds NumPy arrays, which"),
        (lambda weights: weights | {FIRST: torch.ones(256, 1, 7, 7)},
         f"{FIRST!r} has the shape (256, 1, 7, 7) instead of (256, 1, 5, 5). Take them from their source again"),
        (lambda _: foreign(create_model("convmixer_256_8").spec),
         "These look like convmixer_256_8 weights: ask for 'convmixer_256_8'."),
        (spoilt, f"{FIRST!r} of these weights for {NAME} holds numbers that are not finite. The file is damaged"),
        (lambda weights: weights | {FIRST: weights[FIRST].to(torch.int8)},
         f"{FIRST!r} of these weights for {NAME} holds numbers of torch.int8, and float16, bfloat16, float32 or"
         " float64 was expected. If they were quantised, take the weights of before.\n"),
    ],
    ids=["renamed", "missing", "extra", "torn head", "wrapped", "among others", "arrays", "misshapen", "another model",
         "NaN", "quantised"],
)  # fmt: skip
def test_weights_that_do_not_fit_get_one_line_and_leave_nothing(
    change, text: str, tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    torch.save(change(weights), tmp_path / "in.pth")
    assert text in complaint(capsys, "convert", tmp_path / "in.pth", tmp_path / "out.safetensors", *FROM)
    assert [each.name for each in tmp_path.iterdir()] == ["in.pth"]


class Bomb:
    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self):
        return os.mkdir, (str(self.fuse),)


def bomb(path: Path, weights: dict[str, Tensor]) -> None:
    torch.save({"state_dict": weights, "x": Bomb(path.with_name("ran"))}, path)


def truncated_checkpoint(path: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, path)
    path.write_bytes(path.read_bytes()[:-1000])


def truncated_safetensors(path: Path, weights: dict[str, Tensor]) -> None:
    save_file(weights, path)
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (bomb, "asks to run code when it is read (posix.mkdir), and was refused. If you trust its source, read it"),
        (truncated_checkpoint, "is no whole checkpoint of PyTorch. Take it from its source again."),
        (truncated_safetensors, "is no whole safetensors file: "),
        (lambda path, _: path.touch(), "is empty. Take it from its source again."),
        (lambda path, _: path.mkdir(), "cannot be read: Is a directory. Give the path of a weight file."),
    ],
)
def test_files_that_cannot_be_read_get_one_line_and_leave_nothing(
    make, text: str, tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    make(tmp_path / "in.pth", weights)
    assert text in complaint(capsys, "convert", tmp_path / "in.pth", tmp_path / "out.safetensors", *FROM)
    assert [each.name for each in tmp_path.iterdir()] == ["in.pth"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["in.pth", "out.safetensors", "--model", NAME], "--from is missing."),
        (["in.pth", "out.safetensors", "--from", "convmixer"], "--model is missing."),
        (["in.pth", *FROM], "OUTPUT is missing."),
        (["in.pth", "out.pth", *FROM], "OUTPUT is a file whose name ends in .safetensors, and got 'out.pth'."),
        (["in.pth", "none/out.safetensors", *FROM], "OUTPUT 'none/out.safetensors' cannot be written: "),
        (["in.pth", "out.safetensors", "--from", "convmixr", "--model", NAME], "not 'convmixr'. Did you mean 'convm"),
        (["in.pth", "out.safetensors", "--from", "cotnet", "--model", "cotnet5"], "named 'cotnet5'. Did you mean 'co"),
        (["in.pth", "out.safetensors", "--from", "TIMM", "--model", NAME], "No network whose weights come from timm"),
        (["in.pth", "out.safetensors", "--from", "timm", "--model", NAME], "Its weights come from 'convmixer'."),
    ],
)
def test_a_slip_gets_one_line(words: list[str], text: str, capsys: pytest.CaptureFixture) -> None:
    assert text in complaint(capsys, "convert", *words)


def test_a_file_of_others_that_is_given_to_info_is_told_the_way_to_become_one(
    tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    torch.save(weights, tmp_path / "nano.pth")
    said = complaint(capsys, "info", tmp_path / "nano.pth")
    assert "`graft convert FILE OUT.safetensors --from SOURCE --model NAME` makes one of it" in said
    save_file(weights, tmp_path / "nano")
    assert "nano holds no network description, so it is of others: `graft convert` makes" in complaint(
        capsys, "info", tmp_path / "nano"
    )
    for missing in ("none.pth.tar", "runs/none"):
        said = complaint(capsys, "info", missing)
        assert f"{missing} cannot be read: No such file or directory. Give the path of a .safetensors" in said


def test_options_may_come_from_a_file_under_the_same_names(
    tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    save_file(weights, tmp_path / "in.safetensors")
    (tmp_path / "options.yaml").write_text(f"from: convmixer\nmodel: {NAME}\n")
    words = [tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--config", tmp_path / "options.yaml"]
    assert answer(capsys, "convert", *words)["num_classes"] == 7


@pytest.mark.parametrize(("names", "other"), [(("state_dict", "ema"), "last"), (("ema", "state_dict"), "averaged")])
def test_weights_that_do_not_fit_beside_others_name_these_and_what_takes_them(
    names: tuple[str, str], other: str, tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    fitting, taken = names
    torch.save({fitting: weights, taken: without(weights, FIRST)}, tmp_path / "in.pth")
    words = ["convert", tmp_path / "in.pth", tmp_path / "out.safetensors", *FROM]
    said = complaint(capsys, *words, *(["--take", "last"] if taken == "state_dict" else []))
    assert said.endswith(
        f" These are the weights {taken}, and not taken were {fitting}. `graft convert --take {other}` takes such.\n"
    )
    assert answer(capsys, *words, "--take", other)["taken"] == fitting


def test_the_help_names_every_source(capsys: pytest.CaptureFixture) -> None:
    assert main(["convert", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(source in text for source in SOURCES)


@pytest.fixture(scope="module")
def oblong() -> dict[str, Tensor]:
    return numbers(create_model(PICO, num_classes=3, image=(64, 128)).spec, SOURCES["timm"][PICO])


def test_an_oblong_size_that_shapes_leave_open_is_given_as_an_option(
    tmp_path: Path, oblong: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    save_file(oblong, tmp_path / "in.safetensors")
    words = ["convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors"]
    words += ["--from", "timm", "--model", "coatnet_pico_rw_224"]
    said = complaint(capsys, *words)
    assert "fit images of (height, width) (64, 128) as well as (128, 64)" in said
    assert "`graft convert --image 64x128`" in said
    said = complaint(capsys, *words, "--image", "64x96")
    assert "fit images of (height, width) (64, 128) as well as (128, 64)" in said
    assert answer(capsys, *words, "--image", "128x64")["image"] == [128, 64]
    assert read(tmp_path / "out.safetensors").network.spec.image == (128, 64)


def test_a_size_that_the_tables_are_not_of_is_refused(
    tmp_path: Path, oblong: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    spec = create_model("botnet26t_256", image=(64, 96)).spec
    save_file(numbers(spec, SOURCES["timm"][spec.name]), tmp_path / "in.safetensors")
    words = ["convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors"]
    words += ["--from", "timm", "--model", "botnet26t_256"]
    assert (
        "The position tables of these weights are for images of 64x96 pixels (height x width), not 96x64."
        " Leave the image size out: any other size can be asked for when they are used."
        in complaint(capsys, *words, "--image", "96x64")
    )
    assert [each.name for each in tmp_path.iterdir()] == ["in.safetensors"]
    assert answer(capsys, *words)["image"] == [64, 96]


def test_a_tag_says_what_images_go_through_and_without_one_a_guess_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_file(
        numbers(create_model("resnet50", num_classes=2).spec, SOURCES["timm"]["resnet50"]), tmp_path / "in.safetensors"
    )
    words = ["convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--from", "timm"]
    words += ["--existing", "replace", "--model"]
    tagged = answer(capsys, *words, "resnet50.tv_in1k")
    pre = tagged["preprocessing"]
    assert (pre["interpolation"], pre["crop"], tagged["preprocessing_assumed"]) == ("bilinear", 0.875, False)
    assert tagged["name"] == "resnet50"
    assert read(tmp_path / "out.safetensors").preprocessing.interpolation == "bilinear"
    assert main([*map(str, words), "resnet50"]) == 0
    assert (
        "bicubic, crop 0.95, mean 0.485 0.456 0.406, std 0.229 0.224 0.225; assumed, since weights of resnet50"
        " differ in it: if these are published ones, say which, as --model resnet50.a1_in1k\n"
        in capsys.readouterr().out
    )
    said = complaint(capsys, *words, "resnet50.tv_in2k")
    assert "resnet50 has no published weights with the tag 'tv_in2k'. Did you mean 'tv_in1k'" in said


def test_what_a_run_keeps_of_its_training_is_told_from_its_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.create({})
    run.append_metrics({"epoch": 1})
    torch.save({"state_dict": {"network.stem.0.weight": torch.ones(1)}}, run.last)
    verbs = (
        ["predict", run.last, "x.jpg"],
        ["train", "--weights", run.last],
        ["convert", run.last, tmp_path / "out.safetensors", *FROM],
    )
    for words in verbs:
        assert complaint(capsys, *words).endswith(
            f"{run.last} is what `graft train` keeps of its training. There is no best.safetensors beside it, so"
            " nothing to use or to convert: train again.\n"
        )
    save(create_model("convmixer_pico", num_classes=2), run.best)
    for words in verbs:
        assert complaint(capsys, *words).endswith(
            f"{run.last} is what `graft train` keeps of its training. Its weights are in {run.best}, which"
            " `graft eval`, `predict` and `train --weights` take.\n"
        )


def test_a_checkpoint_of_others_is_not_taken_for_ours_by_its_name(
    tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture
) -> None:
    torch.save({"state_dict": weights}, tmp_path / "last.ckpt")
    save(create_model(NAME, num_classes=2), tmp_path / "best.safetensors")
    out = tmp_path / "out.safetensors"
    assert answer(capsys, "convert", tmp_path / "last.ckpt", out, *FROM)["file"] == str(out)


@pytest.mark.parametrize(
    "words", [["eval"], ["predict", "photo.jpg"], ["train", "--weights"]], ids=lambda each: each[0]
)
def test_a_network_of_gray_images_is_refused_with_the_way_to_colour(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    gray = save(create_model("convmixer_pico", num_classes=2, in_chans=1), tmp_path / "gray.safetensors")
    verb, *rest = words
    given = [verb, gray, *rest] if verb != "train" else [verb, *rest, gray, "--output", tmp_path / "run"]
    said = complaint(capsys, *given)
    assert "convmixer_pico takes images of 1 channel, and images are read as red, green and blue here." in said
    save(create_model(weights=gray, in_chans=3), tmp_path / "rgb.safetensors")
    assert read(tmp_path / "rgb.safetensors").network.spec.in_chans == 3
    assert not (tmp_path / "run").exists()


def test_gray_weights_by_timms_names_are_shown_the_way_to_colour_with_the_name_of_their_network(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    gray = tmp_path / "gray.safetensors"
    wanted = shapes(PICO, num_classes=2, in_chans=1)
    save_file({name: torch.zeros(each.shape) for name, each in wanted.items()}, gray)
    said = complaint(capsys, "train", "--weights", gray, "--model", PICO, "--output", tmp_path / "run")
    assert f"visiongraft.create_model({PICO!r}, weights=FILE, in_chans=3) fits it, and visiongraft.save" in said
    assert create_model(PICO, weights=gray, in_chans=3).spec.in_chans == 3
