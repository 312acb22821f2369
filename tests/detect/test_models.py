"""Detectors by name, whose backbones begin with weights that are known to be taken over."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models as torchvisions

import visiongraft as vg
from tests.detect.tiny import backbone, value
from tests.networks import awake
from visiongraft.detect import models
from visiongraft.detect.build import spec_of
from visiongraft.detect.models import create_detector, share_kept
from visiongraft.errors import SpecError, UnknownModel, WeightsError
from visiongraft.preprocessing import Preprocessing

SMALL: dict[str, Any] = {"num_classes": 3, "min_size": 64, "max_size": 96, "width": 64}
GRAY = Preprocessing((64, 64), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = awake(backbone("botnet_pico"))
    return vg.save(network, tmp_path_factory.mktemp("weights") / "m.safetensors", preprocessing=GRAY)


def test_a_detector_is_created_by_name() -> None:
    with torch.device("meta"):
        detector = vg.detect.create_detector("mask_rcnn", backbone="botnet50", num_classes=80)
    spec = spec_of(detector)
    assert spec == vg.detect.Detector("mask_rcnn", vg.get_spec("botnet50").at(800), 80)
    assert detector.training
    # 81 logits: the background is torchvision's, and not counted here.
    assert detector.roi_heads.box_predictor.cls_score.out_features == 81
    assert detector.roi_heads.mask_predictor.mask_fcn_logits.out_channels == 81
    with torch.device("meta"):
        named = create_detector("retinanet", backbone="torchvision:resnet18", num_classes=3, min_size=(64, 80))
    assert spec_of(named).backbone == vg.Foreign("torchvision:resnet18", image=(80, 80))
    assert named.head.classification_head.num_classes == 4


def test_the_native_size_is_the_shorter_side_unless_it_is_said() -> None:
    for choices, expected in [({}, (64, 64)), ({"image": 96}, (96, 96)), ({"image": (64, 96)}, (64, 96))]:
        detector = create_detector("faster_rcnn", backbone=backbone("botnet_pico", 32), **SMALL, **choices)
        assert spec_of(detector).backbone.image == expected
        assert detector.backbone.body.spec.image == expected


def test_a_value_is_changed_by_what_is_given_beside_it() -> None:
    known = value("fcos", detections=7)
    assert spec_of(create_detector(known)) == known
    changed = spec_of(create_detector(known, num_classes=5, max_size=128))
    assert changed == replace(known, num_classes=5, max_size=128)


def test_a_backbone_begins_with_the_weights_of_a_file(file: Path) -> None:
    detector = create_detector("faster_rcnn", weights=file, image=64, **SMALL)
    spec, source = spec_of(detector), vg.load(file)
    assert (spec.norm, spec.mean, spec.std) == ("frozen", GRAY.mean, GRAY.std)
    assert spec.backbone == source.spec
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = list(source.features(images).values())
        found = detector.eval().backbone.body(images)
    for place, maps in zip(detector.backbone.levels.maps, found, strict=True):
        torch.testing.assert_close(maps, expected[place], rtol=1e-3, atol=1e-3)
    classifier = sum(each.numel() for each in source.head.parameters())
    whole = sum(each.numel() for each in source.parameters())
    assert share_kept(detector, source) == pytest.approx(1 - classifier / whole)
    changed = next(detector.backbone.body.parameters())
    with torch.no_grad():
        changed.add_(1.0)
    assert share_kept(detector, source) == pytest.approx(1 - (classifier + changed.numel()) / whole)


def test_a_detector_that_would_keep_nothing_of_its_weights_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "adapted_to", lambda source, spec: backbone_of_others(spec))
    with pytest.raises(WeightsError, match="^Nothing of the weights of botnet_pico is left in fcos_botnet_pico"):
        create_detector("fcos", weights=file, image=64, **SMALL)


def backbone_of_others(spec: vg.Backbone) -> nn.Module:
    """Build a network of which no number is that of a file."""
    network = vg.build(spec)
    for each in network.parameters():
        nn.init.normal_(each)
    return network


def test_position_tables_of_the_weights_are_resampled_for_the_detectors_size(file: Path) -> None:
    detector = create_detector("faster_rcnn", backbone=backbone("botnet_pico"), weights=file, norm="train", **SMALL)
    assert spec_of(detector).norm == "train"
    larger = create_detector(spec_of(detector), weights=file, image=96)
    source = vg.load(file)
    assert spec_of(larger).backbone.image == (96, 96)
    for each, known in [(detector, source), (larger, source.at(96))]:
        classifier = sum(part.numel() for part in known.head.parameters())
        whole = sum(part.numel() for part in known.parameters())
        assert share_kept(each, source) == pytest.approx(1 - classifier / whole)
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        wanted = list(vg.load(file, image=96).features(images).values())[-1]
        torch.testing.assert_close(larger.eval().backbone.body(images)[-1], wanted, rtol=1e-3, atol=1e-3)


def test_weights_of_another_network_are_refused(file: Path) -> None:
    with pytest.raises(WeightsError, match="These are weights of botnet_pico, and coatnet_pico has other parts"):
        create_detector("fcos", backbone="coatnet_pico", weights=file, **SMALL)
    with pytest.raises(WeightsError, match="These are weights of another botnet_pico, and yours has other parts"):
        create_detector("fcos", backbone="botnet_pico", weights=file, **SMALL)


def test_a_network_of_torchvision_begins_with_its_own_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvisions.resnet18(num_classes=7).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    detector = create_detector("fcos", backbone="torchvision:resnet18", weights=tmp_path / "resnet18.pth", **SMALL)
    body = detector.backbone.body
    assert torch.equal(body.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    grafted = vg.Grafted(vg.Foreign("torchvision:resnet18"), (vg.Graft("layer4.1.conv2", vg.GridAttention(heads=4)),))
    hybrid = create_detector("fcos", backbone=grafted, weights=tmp_path / "resnet18.pth", **SMALL)
    body = hybrid.backbone.body
    assert torch.equal(body.layer4[1].conv1.weight, theirs.layer4[1].conv1.weight)
    assert not isinstance(body.layer4[1].conv2, nn.Conv2d)


def test_published_weights_are_asked_for_by_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object, bool]] = []

    def load_pretrained(name: str, *, weights_dir: object, offline: bool) -> vg.Trained:
        asked.append((name, weights_dir, offline))
        return vg.Trained(awake(backbone("coatnet_pico")), GRAY)

    monkeypatch.setattr(models, "load_pretrained", load_pretrained)
    detector = create_detector("fcos", backbone="coatnet_pico", pretrained=True, offline=True, **SMALL)
    assert (spec_of(detector).norm, spec_of(detector).mean) == ("frozen", GRAY.mean)
    create_detector("fcos", backbone="coatnet_pico", pretrained="sw_in1k", weights_dir="kept", **SMALL)
    assert asked == [("coatnet_pico", None, True), ("coatnet_pico.sw_in1k", "kept", False)]


def test_published_weights_of_libraries_are_asked_for_by_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    theirs = vg.build(vg.Foreign("torchvision:resnet18", 7)).eval()

    def load_pretrained(name: str, **_: object) -> vg.Trained:
        asked.append(name)
        return vg.Trained(theirs, GRAY)

    monkeypatch.setattr(models, "load_pretrained", load_pretrained)
    detector = create_detector("fcos", backbone="torchvision:resnet18.imagenet1k_v1", pretrained=True, **SMALL)
    assert spec_of(detector).backbone == vg.Foreign("torchvision:resnet18", 7, (64, 64))
    assert torch.equal(detector.backbone.body.conv1.weight, theirs.body.conv1.weight)
    grafted = vg.Grafted(vg.Foreign("torchvision:resnet18"), (vg.Graft("layer4.1.conv2", vg.GridAttention(heads=4)),))
    hybrid = create_detector("fcos", backbone=grafted, pretrained="imagenet1k_v1", **SMALL)
    assert torch.equal(hybrid.backbone.body.conv1.weight, theirs.body.conv1.weight)
    assert not isinstance(hybrid.backbone.body.layer4[1].conv2, nn.Conv2d)
    assert asked == ["torchvision:resnet18.imagenet1k_v1"] * 2


@pytest.mark.parametrize(
    ("choices", "kind", "text"),
    [
        ({"num_classes": None}, SpecError, "How many categories of objects are there? Give num_classes, without the"),
        (
            {"backbone": None},
            SpecError,
            "Which backbone? Name one, or give weights=FILE with one that visiongraft.save",
        ),
        ({"backbone": "botnet500"}, UnknownModel, "No network is named 'botnet500'. Did you mean 'botnet50'"),
        ({"backbone": "torchvision:resnet19"}, UnknownModel, "torchvision has no classifier 'resnet19'. Did you mean"),
        ({"norm": "frozen"}, SpecError, "norm='frozen' keeps what trained weights say, and these are random, with"),
        (
            {"pretrained": True, "weights": "x"},
            SpecError,
            "pretrained and weights are two places to take weights from",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(choices: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as refusal:
        create_detector("mask_rcnn", **{"backbone": "botnet_pico", **SMALL, **choices})
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)
