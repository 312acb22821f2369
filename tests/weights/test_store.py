"""A weight file carries all that its use needs, loads at any size, and is refused in words when it is damaged."""

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel

from visiongraft.blocks.head import Head
from visiongraft.errors import WeightsError
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.weights.models import create_model, read_weights
from visiongraft.weights.store import load, read, save, save_tensors


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = create_model("coatnet_pico", num_classes=3)
    preprocessing = Preprocessing((64, 64), crop=1.0)
    return save(
        network, tmp_path / "m.safetensors", preprocessing=preprocessing, classes=["a", "β", "c"], scores={"top1": 0.5}
    )


def test_everything_comes_back(saved: Path) -> None:
    torch.manual_seed(0)
    network = create_model("coatnet_pico", num_classes=3).eval()
    model = read(saved)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.network(images), network(images))
    assert model.network.spec == network.spec
    assert not model.network.training
    assert model.preprocessing == Preprocessing((64, 64), crop=1.0)
    assert (model.classes, model.scores) == (("a", "β", "c"), {"top1": 0.5})


@pytest.mark.parametrize("name", ["botnet_pico", "coatnet_pico", "botnet50_content_absolute"])
def test_a_file_loads_at_another_size_with_its_tables_resampled(tmp_path: Path, name: str) -> None:
    path = save(create_model(name, num_classes=3), tmp_path / "m.safetensors")
    other = load(path, image=(96, 128))
    images = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        torch.testing.assert_close(other(images), load(path)(images))
    assert other.spec.image == (96, 128)
    assert read(path, image=96).preprocessing.image == (96, 96)


def test_a_file_is_the_same_whatever_the_memory_layout_was(tmp_path: Path, saved: Path) -> None:
    plain = load(saved).to(memory_format=torch.contiguous_format)
    again = save(plain, tmp_path / "again.safetensors", classes=["a", "β", "c"])
    first, second = load_file(saved), load_file(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_network_is_the_same_bytes_each_time(tmp_path: Path, saved: Path) -> None:
    """safetensors by itself writes texts in any order."""
    model, whole = read(saved), saved.read_bytes()
    for number in range(8):
        again = tmp_path / f"{number}.safetensors"
        save(model.network, again, preprocessing=model.preprocessing, classes=model.classes, scores=model.scores)
        assert again.read_bytes() == whole


def test_the_format_and_its_version_are_inside(saved: Path) -> None:
    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "visiongraft.weights/1"
    assert json.loads(metadata["spec"])["format"] == "visiongraft.spec/1"


def rewritten(path: Path, *, tensors: dict | None = None, **metadata: str | None) -> Path:
    """Write a file again with other tensors or texts; None leaves a text out."""
    with safe_open(path, "pt") as file:
        texts = file.metadata() | metadata
    save_file(tensors or load_file(path), path, {key: each for key, each in texts.items() if each is not None})
    return path


def refusal(call: Callable[[], object]) -> str:
    """Give what is said of something that is refused, in one line."""
    with pytest.raises(WeightsError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="is no whole safetensors file: .*Take it from its source again"):
        load(saved)


def test_an_empty_file_and_a_device_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").touch()
    for path in (tmp_path / "m.safetensors", Path("/dev/null")):
        assert refusal(lambda path=path: load(path)) == f"{path} is empty. Take it from its source again."


@pytest.mark.parametrize("content", [b"not weights at all", b"\x00" * 64])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is no whole safetensors file"):
        load(path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    for kind, write in (
        ("pickle, as older PyTorch wrote", lambda path: path.write_bytes(pickle.dumps(Bomb()))),
        ("zip archive, as torch.save writes", lambda path: torch.save(Bomb(), path)),
    ):
        write(tmp_path / "m.pt")
        with pytest.raises(WeightsError, match=f"is a {kind}, and no file of ours. If it holds the weights of a net"):
            load(tmp_path / "m.pt")
    assert not (tmp_path / "ran").exists()


def test_a_header_whose_length_begins_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    for size in range(0, 256, 8):
        path = save(network, tmp_path / "m.safetensors", scores={"x" * size: 1.0})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_tensors_without_a_description_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "m.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "pt.safetensors", {"format": "pt"})
    for name in ("m", "pt"):
        said = refusal(lambda name=name: load(tmp_path / f"{name}.safetensors"))
        assert f"{name}.safetensors holds no network description, so it is of others: `graft convert` makes" in said


def test_a_later_format_is_refused_and_not_misread(saved: Path) -> None:
    for later in ("visiongraft.weights/2", "visiongraft.weights/" + "x" * 10**5):
        said = refusal(lambda later=later: load(rewritten(saved, format=later)))
        assert f"is of format '{later[:250]}" in said
        assert "'; this version reads 'visiongraft.weights/1'. Read it with the version of visiongraft that" in said
        assert len(said) < 600


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("spec", "{}", "This network description is of format None; this version reads 'visiongraft.spec/1'"),
        ("spec", None, "it has no 'spec'"),
        ("spec", "[" * 100_000, "its 'spec' is nested too deeply"),
        ("preprocessing", "[]", "its 'preprocessing' is a list where a dict belongs"),
        ("classes", None, "it has no 'classes'"),
        ("classes", "[", "its 'classes' is no JSON, but '['"),
        ("classes", '["a", "b"]', "2 class names came for 3 logits"),
        ("classes", '["a", "b", "a"]', "Two classes have the name 'a'"),
        ("scores", "x" * 100_000, f"its 'scores' is no JSON, but '{'x' * 297}..."),
        ("scores", '{"a": NaN}', "Scores are finite numbers by name, and 'a' has nan"),
    ],
)
def test_a_damaged_description_is_refused(saved: Path, key: str, value: str | None, reason: str) -> None:
    said = refusal(lambda: load(rewritten(saved, **{key: value})))
    start, end = f"{saved} describes its network in a way that cannot be read: ", "Take it from its source again."
    assert said.startswith(start + reason[:250])
    assert said.endswith(f". {end}")
    assert len(said) < 600


def test_a_description_of_a_network_larger_than_any_memory_is_refused_before_it_is_built(saved: Path) -> None:
    spec = replace(get_spec("botnet_pico"), head=Head(num_classes=3))
    vast = replace(spec, stages=(replace(spec.stages[0], width=2**20), *spec.stages[1:]))
    with pytest.raises(WeightsError, match="does not fit the network that it describes"):
        load(rewritten(saved, spec=vast.to_json()))
    long = json.loads(spec.to_json())
    block = long["stages"][0]["blocks"][0]
    long["stages"][0]["blocks"] = [{"times": 10**9, "of": block.get("of", block)}]
    with pytest.raises(WeightsError, match="A block is repeated 1 to 10000 times, not 1000000000"):
        load(rewritten(saved, spec=json.dumps(long)))


@pytest.mark.parametrize("fault", ["missing", "extra", "shape", "int8", "float8_e4m3fn"])
def test_tensors_that_do_not_fit_the_description_are_refused(saved: Path, fault: str) -> None:
    tensors = load_file(saved)
    if fault == "missing":
        del tensors["stem.0.weight"]
    elif fault == "extra":
        tensors["stem.0.more"] = torch.zeros(1)
    elif fault == "shape":
        tensors["stem.0.weight"] = tensors["stem.0.weight"][:1]
    else:
        tensors["stem.0.weight"] = tensors["stem.0.weight"].to(getattr(torch, fault))
    with pytest.raises(WeightsError, match=r"does not fit .*: 1 tensors are missing.*the first is 'stem\.0\."):
        load(rewritten(saved, tensors=tensors))


@pytest.mark.parametrize(("kind", "number"), [("float32", math.nan), ("float16", math.inf), ("float64", 1e300)])
def test_numbers_that_are_none_in_the_network_are_refused(saved: Path, kind: str, number: float) -> None:
    tensors = load_file(saved)
    tensors["stem.0.weight"] = tensors["stem.0.weight"].to(getattr(torch, kind))
    load(rewritten(saved, tensors=tensors))
    tensors["stem.0.weight"][0, 0, 0, 0] = number
    said = refusal(lambda: load(rewritten(saved, tensors=tensors)))
    assert said == (
        f"{saved} holds NaN or infinity in 'stem.0.weight': it is damaged, or its training diverged. Take it from its"
        " source again, or use another."
    )


@pytest.mark.parametrize("given", [None, 3, b"m.safetensors", {"a": torch.zeros(1)}, "", "a\0b", "\udcff"])
def test_what_is_no_path_is_refused_on_every_way_in_and_out(given: object) -> None:
    network = create_model("resnet_pico", num_classes=2)
    ways = [
        lambda: load(given),
        lambda: save(network, given),
        lambda: read_weights(given, model="resnet_pico"),
        lambda: create_model("resnet_pico", weights=given) if given is not None else load(None),
    ]
    expected = {
        "": "The path of the weights is empty. Give that of a file.",
        "a\0b": r"No file can be called 'a\x00b', with a NUL in it. Give the path of a file.",
        "\udcff": r"The path '\udcff' is no UTF-8, which weights need. Rename that file.",
    }.get(
        str(given),
        f"Weights are told by the path of a file, not by a {type(given).__name__}. Give the path of a file.",
    )
    if isinstance(given, dict):
        expected = expected.replace("Give the path of a file.", "A state dict goes through visiongraft.convert.")
    assert {refusal(way) for way in ways} == {expected}


def wrapped_in_parts(network: nn.Module) -> nn.Module:
    network.stages[0] = torch.compile(network.stages[0])
    return network


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, AveragedModel, wrapped_in_parts])
def test_a_network_in_a_wrapper_is_saved_without_it(wrap: Callable, tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    found = load(save(wrap(network), tmp_path / "m.safetensors")).state_dict()
    assert found.keys() == before.keys()
    assert all(torch.equal(found[name], before[name]) for name in found)


def with_another_classifier(network: nn.Module) -> nn.Module:
    network.head.classifier = nn.Linear(64, 5)
    return network


@pytest.mark.parametrize(
    "change",
    [
        with_another_classifier,
        lambda network: prune.l1_unstructured(network.head.classifier, "weight", 0.5) and network,
        lambda network: weight_norm(network.head.classifier) and network,
    ],
)
def test_a_network_that_its_spec_does_not_describe_is_not_saved(change: Callable, tmp_path: Path) -> None:
    network = change(create_model("resnet_pico", num_classes=2))
    said = refusal(lambda: save(network, tmp_path / "m.safetensors"))
    assert said.startswith("This resnet_pico cannot be saved, since not all of it follows from its spec: ")
    assert " tensors are missing, left over, or of another shape or type, the first is 'head.classifier." in said
    assert said.endswith(
        ". Undo what was done to its layers (after pruning by torch.nn.utils.prune.remove), and change its classifier"
        " with reset_classifier; else torch.save takes its state_dict()."
    )
    assert not list(tmp_path.iterdir())


def test_what_is_no_network_is_not_saved(tmp_path: Path) -> None:
    features = create_model("resnet_pico", features_only=True)
    for given, kind in ((nn.Linear(2, 2), "Linear"), (features, "FeatureExtractor"), ({}, "dict")):
        assert refusal(lambda given=given: save(given, tmp_path / "m.safetensors")) == (
            f"What is saved is a visiongraft.Network, and this is a {kind}. Give one that create_model made, without"
            " features_only, or that graft gave; of others torch.save takes the state_dict()."
        )


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    network.stem[1].bias.data[0] = math.nan
    assert refusal(lambda: save(network, tmp_path / "m.safetensors")) == (
        "'stem.1.bias' holds NaN or infinity, so it is not saved. Save the weights of before."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"classes": "ab"}, "Class names come as a list, and 'ab' is one text. Name each class, or none."),
        ({"classes": [1, 2]}, "Class names are texts, and 1 is of type int. Name each class, or none."),
        ({"classes": ["a", "a"]}, "Two classes have the name 'a'. Name each class, or none."),
        (
            {"scores": {"a": "x"}},
            "Scores are finite numbers by name, and 'a' has 'x'. Give float(SCORE), or none.",
        ),
        (
            {"scores": {"a": torch.tensor(0.5)}},
            "Scores are finite numbers by name, and 'a' has tensor(0.5000). Give float(SCORE), or none.",
        ),
        (
            {"preprocessing": {"mean": 0}},
            "The preprocessing is a visiongraft.Preprocessing, not a dict. Make one, as in"
            " Preprocessing(image=(224, 224)).",
        ),
    ],
)
def test_what_no_file_can_say_is_refused_when_it_is_to_be_saved(given: dict, said: str, tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    assert refusal(lambda: save(network, tmp_path / "m.safetensors", **given)) == said
    assert not list(tmp_path.iterdir())


def test_classes_of_any_name_are_kept(tmp_path: Path) -> None:
    names = ("a\nb", "\udcff")  # what a folder can be called that is no UTF-8
    path = save(create_model("resnet_pico", num_classes=2), tmp_path / "m.safetensors", classes=names)
    assert read(path).classes == names


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    for path in (tmp_path, Path()):
        said = refusal(lambda path=path: save(create_model("resnet_pico", num_classes=2), path))
        assert said == f"{path} cannot be written: Is a directory. Choose another place."


def test_class_names_must_be_as_many_as_the_logits(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="2 class names came for 1000 logits"):
        save(create_model("resnet_pico"), tmp_path / "m.safetensors", classes=["a", "b"])
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_previous_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="cannot be written: No space left on device"):
        save(create_model("resnet_pico"), saved)
    assert saved.read_bytes() == before
    assert [each.name for each in saved.parent.iterdir()] == [saved.name]


def test_a_file_has_the_permissions_of_any_new_file(saved: Path) -> None:
    (beside := saved.with_name("beside")).touch()
    assert saved.stat().st_mode == beside.stat().st_mode


def test_tensors_that_share_memory_are_written_apart(tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    shared = torch.full_like(network.stem[1].bias, 3.0)
    tensors = network.state_dict() | {"stem.1.bias": shared, "stem.1.running_mean": shared}
    found = load_file(save_tensors(network.spec, tensors, tmp_path / "m.safetensors"))
    assert torch.equal(found["stem.1.bias"], shared)
    assert torch.equal(found["stem.1.running_mean"], shared)


def test_tensors_that_overlap_in_part_are_written_apart(tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    width = len(network.stem[1].bias)
    memory = torch.arange(width + 1.0)
    tensors = network.state_dict() | {"stem.1.bias": memory[:-1], "stem.1.running_mean": memory[1:]}
    found = load_file(save_tensors(network.spec, tensors, tmp_path / "m.safetensors"))
    assert torch.equal(found["stem.1.bias"], memory[:-1])
    assert torch.equal(found["stem.1.running_mean"], memory[1:])


def test_a_network_without_numbers_is_not_written(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = create_model("resnet_pico", num_classes=2)
    with pytest.raises(WeightsError, match=r"^'stem.0.weight' is a tensor of the meta device, .*\. Give it numbers"):
        save(network, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_size_that_it_has_leaves_everything_as_it_is(saved: Path) -> None:
    model = read(saved)
    assert model.at(64) is model
    assert read(saved, image=64).scores == {"top1": 0.5}
    assert model.at(96).scores == {}, "they are of the old size"
    odd = replace(model, preprocessing=Preprocessing((80, 80), crop=1.0))
    assert odd.at(64).preprocessing == model.preprocessing
    assert odd.at(64).scores == {}
