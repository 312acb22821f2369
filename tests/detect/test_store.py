"""A file of a detector is all that is needed to use it, and each door says which file is for the other."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import visiongraft as vg
from tests.detect.tiny import KINDS, backbone, built, images_of, value
from visiongraft.detect import store
from visiongraft.detect.value import Kind
from visiongraft.errors import WeightsError

CLASSES = ("cat", "β", "dog")
SCORES = {"val_mask_ap": 0.25}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return store.save(built("mask_rcnn"), tmp_path / "d.safetensors", classes=CLASSES, scores=SCORES)


RESNET = vg.Foreign("torchvision:resnet18", num_classes=3, image=(64, 64))


@pytest.mark.parametrize(
    ("kind", "network", "norm"),
    [*((kind, "coatnet_pico", "train") for kind in KINDS), ("retinanet", RESNET, "frozen")],
)
def test_everything_comes_back(kind: Kind, network: str | vg.Foreign, norm: str, tmp_path: Path) -> None:
    detector = built(kind, network, norm=norm)
    path = vg.detect.save(detector, tmp_path / "d.safetensors", classes=CLASSES, scores=SCORES)
    found = vg.detect.read(path)
    assert (found.spec, found.classes, found.scores) == (value(kind, network, norm=norm), CLASSES, SCORES)
    assert type(found.network) is type(detector)
    assert not found.network.training
    assert found.network.state_dict().keys() == detector.state_dict().keys()
    images = images_of((64, 64), (50, 90))
    for each in (detector.eval(), found.network):
        (each.roi_heads if hasattr(each, "roi_heads") else each).score_thresh = 0.0
    with torch.no_grad():
        for one, other in zip(detector(images), found.network(images), strict=True):
            assert len(one["boxes"]) > 0
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_wrapper_around_a_detector_is_saved_as_the_detector(saved: Path, tmp_path: Path) -> None:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

    again = store.save(Wrapper(store.load(saved)), tmp_path / "again.safetensors", classes=CLASSES, scores=SCORES)
    ours, theirs = load_file(again), load_file(saved)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(each, theirs[name]) for name, each in ours.items())


def test_each_door_says_which_file_is_for_the_other(saved: Path, tmp_path: Path) -> None:
    network = vg.save(vg.create_model(backbone("botnet_pico")), tmp_path / "m.safetensors")
    with pytest.raises(WeightsError) as refusal:
        vg.detect.load(network)
    assert str(refusal.value) == (
        f"{network} holds a network that tells classes apart, and no detector. visiongraft.load reads it, and"
        " create_detector(KIND, weights=FILE) begins one with it."
    )
    for door in (vg.load, vg.read_weights, lambda path: vg.read_weights(path, model="botnet_pico")):
        with pytest.raises(WeightsError) as refusal:
            door(saved)
        assert str(refusal.value) == (
            f"{saved} holds a detector, and no network by itself. visiongraft.detect.load reads it."
        )


def test_the_door_of_networks_names_that_of_detectors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="This FCOS is a detector. visiongraft.detect.save writes it."):
        vg.save(built("fcos", "convmixer_pico"), tmp_path / "d.safetensors")


def rewritten(path: Path, **texts: str) -> Path:
    with safe_open(path, framework="pt") as file:
        known = file.metadata()
    save_file(load_file(path), path, {**known, **texts})
    return path


@pytest.mark.parametrize(
    ("texts", "text"),
    [
        ({"format": "visiongraft.detector-weights/9"}, "is of format 'visiongraft.detector-weights/9'; this version"),
        ({"format": "other"}, "describes no detector, so it is of others. visiongraft.detect.save writes such files."),
        ({"detector": "[]"}, "describes its network in a way that cannot be read: its 'detector' is a list where a"),
        ({"classes": json.dumps(["a"])}, "in a way that cannot be read: 1 class names came for 3 categories."),
        ({"detector": json.dumps({**value("mask_rcnn").to_dict(), "width": 96})}, "does not fit the network that it"),
        (
            {"detector": json.dumps({**value("mask_rcnn").to_dict(), "kind": "yolo"})},
            "The kind of a Detector cannot be",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(saved: Path, texts: dict[str, str], text: str) -> None:
    with pytest.raises(WeightsError) as refusal:
        store.load(rewritten(saved, **texts))
    assert text in str(refusal.value)
    assert str(saved) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    torch.save(built("fcos").state_dict(), path)
    with pytest.raises(WeightsError, match="is a zip archive, as torch.save writes, and no file of ours"):
        store.load(path)
    with pytest.raises(WeightsError, match="cannot be read: No such file or directory"):
        store.load(tmp_path / "none.safetensors")


def test_what_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    detector = built("faster_rcnn")
    for change, text in [
        ({"classes": ("a", "b")}, "2 class names came for 3 categories. Name each category, or none"),
        ({"scores": {"ap": float("nan")}}, "Scores are finite numbers by name, and 'ap' has nan"),
    ]:
        with pytest.raises(WeightsError, match=text):
            store.save(detector, path, **change)
    with pytest.raises(WeightsError, match="What is saved is a detector, and this is a Linear. Give one"):
        store.save(nn.Linear(1, 1), path)
    detector.roi_heads.box_predictor = nn.Linear(128, 2)
    with pytest.raises(
        WeightsError, match="This faster_rcnn_botnet_pico cannot be saved, since not all of it follows"
    ):
        store.save(detector, path)
    spoilt = built("faster_rcnn")
    spoilt.roi_heads.box_predictor.cls_score.bias.data[0] = float("inf")
    with pytest.raises(WeightsError, match="'roi_heads.box_predictor.cls_score.bias' holds NaN or infinity"):
        store.save(spoilt, path)
    assert list(tmp_path.iterdir()) == []
