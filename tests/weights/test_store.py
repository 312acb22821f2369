"""A weight file carries all that its use needs, loads at any size, and is refused in words when it is damaged."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from visiongraft.blocks.head import Head
from visiongraft.errors import WeightsError
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.weights.models import create_model
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


def test_the_format_and_its_version_are_inside(saved: Path) -> None:
    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "visiongraft.weights/1"
    assert json.loads(metadata["spec"])["format"] == "visiongraft.spec/1"


def rewritten(path: Path, *, tensors: dict | None = None, **metadata: str) -> Path:
    with safe_open(path, "pt") as file:
        known = file.metadata()
    save_file(tensors or load_file(path), path, known | metadata)
    return path


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="is no whole safetensors file: .*Take it from its source again"):
        load(saved)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x00" * 64])
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
    with pytest.raises(WeightsError, match="holds no network description"):
        load(tmp_path / "m.safetensors")


def test_a_later_format_is_refused_and_not_misread(saved: Path) -> None:
    with pytest.raises(WeightsError, match="is of format 'visiongraft.weights/2'; this version reads"):
        load(rewritten(saved, format="visiongraft.weights/2"))


@pytest.mark.parametrize(("key", "value"), [("spec", "{}"), ("preprocessing", "{}"), ("classes", "["), ("scores", "")])
def test_a_damaged_description_is_refused(saved: Path, key: str, value: str) -> None:
    with pytest.raises(WeightsError, match="describes its network in a way that cannot be read"):
        load(rewritten(saved, **{key: value}))


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


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_tensors_that_do_not_fit_the_description_are_refused(saved: Path, fault: str) -> None:
    tensors = load_file(saved)
    if fault == "missing":
        del tensors["stem.0.weight"]
    elif fault == "extra":
        tensors["stem.0.more"] = torch.zeros(1)
    else:
        tensors["stem.0.weight"] = tensors["stem.0.weight"][:1]
    with pytest.raises(WeightsError, match=r"does not fit .*: 1 tensors are missing.*the first is stem\.0\."):
        load(rewritten(saved, tensors=tensors))


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
