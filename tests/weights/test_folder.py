"""A network as a folder is read by us and by timm, and what is no such folder is refused in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import visiongraft.timm  # noqa: F401 - registers the zoo
from tests.networks import awake, narrow
from visiongraft.errors import WeightsError
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.weights.folder import from_pretrained, save_pretrained
from visiongraft.weights.models import create_model
from visiongraft.weights.store import read


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network = create_model("botnet_pico", num_classes=3, in_chans=3, image=(64, 96), drop_path=0.1)
    preprocessing = Preprocessing((64, 96), mean=(0.5, 0.5, 0.5), crop=1.0, fit="squash")
    return save_pretrained(network, tmp_path / "deep" / "folder", preprocessing=preprocessing, classes=["a", "β", "c"])


def test_a_folder_holds_a_weight_file_of_ours_and_a_configuration(saved: Path) -> None:
    assert sorted(each.name for each in saved.iterdir()) == ["config.json", "model.safetensors"]
    trained = read(saved / "model.safetensors")
    assert trained.classes == ("a", "β", "c")
    assert trained.preprocessing.crop == 1.0
    network = from_pretrained(saved)
    images = torch.randn(1, 3, 64, 96)
    assert torch.equal(network(images), trained.network(images))
    assert (network.spec, network.training) == (trained.network.spec, False)
    assert from_pretrained(saved, image=128).spec.image == (128, 128)


def test_timm_builds_the_same_network_from_the_folder(saved: Path) -> None:
    network = from_pretrained(saved)
    theirs = timm.create_model(f"local-dir:{saved}", pretrained=True).eval()
    images = torch.randn(1, 3, 64, 96)
    assert torch.equal(theirs(images), network(images))
    config = timm.data.resolve_model_data_config(theirs)
    assert config["input_size"] == (3, 64, 96)
    assert (config["crop_pct"], config["crop_mode"], list(config["mean"])) == (1.0, "squash", [0.5, 0.5, 0.5])
    assert theirs.pretrained_cfg["label_names"] == ["a", "β", "c"]
    other = timm.create_model(f"local-dir:{saved}", pretrained=True, img_size=128, num_classes=7).eval()
    images = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(other.forward_features(images), network.at(128).forward_features(images))


def test_what_timm_built_is_saved_by_a_method_as_well(tmp_path: Path) -> None:
    overlay = {"crop_pct": 0.9, "crop_mode": "squash"}
    network = timm.create_model("vg_coatnet_pico", num_classes=2, pretrained_cfg_overlay=overlay).eval()
    folder = network.save_pretrained(tmp_path, classes=["cat", "dog"])
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(from_pretrained(folder)(images), network(images))
    preprocessing = read(folder / "model.safetensors").preprocessing
    assert (preprocessing.crop, preprocessing.fit) == (0.9, "squash")


def test_a_network_that_is_not_of_the_zoo_is_ours_to_read_and_unknown_to_timm(tmp_path: Path) -> None:
    network = awake(narrow("cotnet_pico"))
    folder = save_pretrained(network, tmp_path)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(from_pretrained(folder)(images), network(images))
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


def test_a_folder_without_a_configuration_is_enough(saved: Path) -> None:
    (saved / "config.json").unlink()
    assert from_pretrained(saved).num_classes == 3


def refusal(folder: Path | str) -> str:
    with pytest.raises(WeightsError) as caught:
        from_pretrained(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_folder_is_refused(saved: Path, tmp_path: Path) -> None:
    assert "someone/botnet is not there, and nothing is fetched. from_pretrained takes a folder" in refusal(
        "someone/botnet"
    )
    assert "model.safetensors is a file; visiongraft.load reads one." in refusal(saved / "model.safetensors")
    assert "has no model.safetensors. Give the folder that save_pretrained wrote." in refusal(tmp_path)


@pytest.mark.parametrize(
    "config",
    [{"model_type": "vit"}, {"architecture": "resnet50"}, {"hidden_size": 3}, [1]],
)
def test_a_folder_of_another_library_is_refused_by_its_name(saved: Path, config: object) -> None:
    (saved / "config.json").write_text(json.dumps(config))
    said = refusal(saved)
    named = list(config.values())[0] if isinstance(config, dict) and "hidden_size" not in config else None
    assert f"config.json is of another library: it names {named!r}" in said
    assert "Load it with that library" in said


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00"])
def test_a_damaged_configuration_is_refused(saved: Path, content: bytes) -> None:
    (saved / "config.json").write_bytes(content)
    assert "config.json is no whole JSON file" in refusal(saved)


def test_damaged_or_foreign_weights_are_refused(saved: Path) -> None:
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "is no whole safetensors file" in refusal(saved)
    path.write_bytes(b"PK\x03\x04" + whole)
    assert "is a zip archive, as torch.save writes, and no file of ours" in refusal(saved)


def test_a_folder_that_cannot_be_written_is_refused(saved: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    for folder in (saved / "config.json", saved / "config.json" / "x"):
        with pytest.raises(WeightsError, match=r"cannot be written as a folder: .*\. Choose another place\."):
            save_pretrained(network, folder)
    with pytest.raises(WeightsError, match="1 class names came for 2 logits"):
        save_pretrained(network, saved, classes=["a"])
    assert from_pretrained(saved).num_classes == 3


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_leaves_the_network_that_was_there(
    saved: Path, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {each.name: each.read_bytes() for each in saved.iterdir()}
    files: list[int] = []

    def fail(file: int) -> None:
        files.append(file)
        if len(files) > written:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(WeightsError, match=r"cannot be written.*: No space left on device\. Choose another place\.$"):
        save_pretrained(create_model("resnet_pico", num_classes=2), saved)
    assert {each.name: each.read_bytes() for each in saved.iterdir()} == before


def test_weights_beside_the_configuration_of_another_network_are_refused(saved: Path, tmp_path: Path) -> None:
    other = save_pretrained(create_model("resnet_pico", num_classes=2), tmp_path / "other")
    (other / "model.safetensors").replace(saved / "model.safetensors")
    assert refusal(saved) == (
        f"{saved} holds weights of 'vg_resnet_pico' beside a config.json of 'vg_botnet_pico', and both were to be of"
        " one network. If the weights are the right ones, take config.json away; else write the folder again."
    )


def test_a_changed_network_does_not_go_by_the_name_of_the_one_that_it_was(tmp_path: Path) -> None:
    spec = get_spec("resnet_pico")
    changed = replace(spec, stem=replace(spec.stem, act="gelu"))  # the same tensors, and other outputs
    for each, name in ((spec, "vg_resnet_pico"), (changed, "vg_of_its_own")):
        folder = save_pretrained(create_model(each, num_classes=2, image=96, drop_path=0.2), tmp_path)
        assert json.loads((folder / "config.json").read_text())["architecture"] == name


@pytest.mark.parametrize("given", ["", None])
def test_what_is_no_path_is_refused_both_ways(given: str | None) -> None:
    said = f"not by a {type(given).__name__}" if given is None else "is empty. Give that of a folder."
    for way in (lambda: from_pretrained(given), lambda: save_pretrained(create_model("resnet_pico"), given)):
        with pytest.raises(WeightsError, match=said):
            way()


def test_what_is_refused_leaves_no_new_folder(tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    with pytest.raises(WeightsError, match=r"^Two classes have the name 'a'\. Name each class, or none\.$"):
        save_pretrained(network, tmp_path / "new" / "deep", classes=["a", "a"])
    assert not list(tmp_path.iterdir())


def test_a_network_in_a_wrapper_is_written_without_it(tmp_path: Path) -> None:
    network = create_model("resnet_pico", num_classes=2)
    folder = save_pretrained(nn.DataParallel(network), tmp_path, classes=["a", "\udcff"])
    assert from_pretrained(folder).state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", None])
def test_a_folder_of_timms_names_the_file_that_is_there(name: str | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "coatnet_nano_rw_224"}')
    if name:
        (tmp_path / name).touch()
    takes = f"create_model(NAME, weights='{tmp_path / str(name)}') takes them"
    remedy = f"; if the weights are timm's for a network of the zoo, {takes}" if name else ""
    assert refusal(tmp_path).endswith(f" begin with 'vg_'. Load it with that library{remedy}.")
