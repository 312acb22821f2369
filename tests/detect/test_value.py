"""A detector is a value that a document holds, and what cannot be is refused in one line."""

import json
import math
from dataclasses import replace

import pytest

import visiongraft as vg
from tests.detect.tiny import backbone, value
from visiongraft.detect.value import FORMAT, Detector
from visiongraft.errors import SpecError

FOREIGN = vg.Foreign("torchvision:resnet18", num_classes=10, image=(64, 64))
GRAFTED = vg.Grafted(FOREIGN, (vg.Graft("layer4.*.conv2", vg.GridAttention(heads=4)),))


@pytest.mark.parametrize("network", [backbone("coatnet_pico"), FOREIGN, GRAFTED], ids=["ours", "foreign", "grafted"])
def test_a_detector_is_a_value_that_a_document_holds(network: vg.Backbone) -> None:
    plain = Detector("fcos", network, num_classes=7)
    chosen = Detector(
        "mask_rcnn",
        network,
        num_classes=80,
        min_size=(640, 800),
        max_size=1344,
        norm="sync",
        heads="normalised",
        width=64,
        detections=300,
        regions=256,
        anchors=(2.5, 4.0),
        ratios=(1.0,),
        proposals=500,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.25),
    )
    for each in (plain, chosen):
        assert Detector.from_json(each.to_json()) == each
        assert Detector.from_dict(each.to_dict()) == each
    assert chosen.name == f"mask_rcnn_{network.name}"


def test_a_key_that_is_missing_takes_its_default() -> None:
    whole = Detector("fcos", backbone("botnet_pico"), num_classes=7)
    document = whole.to_dict()
    brief = {name: document[name] for name in ("format", "kind", "backbone", "num_classes")}
    assert Detector.from_dict(brief) == whole
    assert (whole.min_size, whole.max_size, whole.norm, whole.heads) == ((800,), 1333, "train", "plain")
    assert (whole.width, whole.detections, whole.mean) == (256, 100, (0.485, 0.456, 0.406))
    assert (whole.anchors, whole.ratios, whole.proposals) == ((), (0.5, 1.0, 2.0), 2000)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": "visiongraft.detector/2"}, f"format 'visiongraft.detector/2'; this version reads {FORMAT!r}."),
        ({"colour": 3}, "The description of a Detector has missing or unknown keys: colour."),
        ({"num_classes": "three"}, "The num_classes of a Detector cannot be 'three'. Expected int."),
        ({"backbone": {"kind": "Conv"}}, "The backbone of a Detector cannot be Conv("),
    ],
)
def test_a_document_that_is_none_is_refused(change: dict[str, object], text: str) -> None:
    document = {**value("fcos").to_dict(), **change}
    with pytest.raises(SpecError) as refusal:
        Detector.from_dict(json.loads(json.dumps(document)))
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_text_that_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="The description of a detector must be "):
        Detector.from_json(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kind": "maskrcnn"}, "one of 'mask_rcnn', 'faster_rcnn', 'retinanet', 'fcos', not 'maskrcnn'. Did you mean"),
        ({"norm": "froze"}, "The norm of a Detector is one of 'frozen', 'sync', 'train', not 'froze'. Did you mean"),
        ({"heads": "deep"}, "The heads of a Detector is one of 'plain', 'normalised', not 'deep'."),
        ({"num_classes": 0}, "The num_classes of a Detector is a whole number of at least 1, not 0."),
        ({"num_classes": True}, "The num_classes of a Detector is a whole number of at least 1, not True."),
        ({"min_size": 64}, "The min_size of a Detector is a tuple of pixels, as (800,), not 64."),
        ({"min_size": (64, 0)}, "The min_size of a Detector is a whole number of at least 1, not 0."),
        ({"min_size": (64, 128)}, "at most max_size=96 pixels, so the shorter one cannot have 128. Raise max_size"),
        ({"max_size": 9000}, "An image has at most 8192 pixels a side, and max_size is 9000."),
        ({"anchors": (4.0, 0.0)}, "The anchors of a Detector are numbers above 0 and at most 1000, not 0.0."),
        ({"ratios": (math.nan,)}, "The ratios of a Detector are numbers above 0 and at most 1000, not nan."),
        ({"ratios": ()}, "Anchors have at least one ratio of height to width, as (1.0,), and ratios is empty."),
        ({"proposals": 0}, "The proposals of a Detector is a whole number of at least 1, not 0."),
        (
            {"kind": "fcos", "width": 64, "anchors": (4.0,)},
            "An fcos has points and no anchors, and anchors is (4.0,).",
        ),
        ({"kind": "fcos"}, "So their width is a multiple of 64, and 32 is none."),
        ({"width": 96, "heads": "normalised"}, "which fcos always has, have 32 groups of at least two channels. So"),
        (
            {"backbone": replace(backbone("botnet_pico"), in_chans=1)},
            "A detector looks at 3 channels, and botnet_pico",
        ),
        ({"backbone": vg.Foreign("own:ResNet")}, "'own:ResNet' is a network that only you can build, and a detector"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(SpecError) as refusal:
        replace(value("retinanet"), **change)
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)
