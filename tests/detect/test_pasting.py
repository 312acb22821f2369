"""Masks that are drawn into their image one by one are those that torchvision draws all at once."""

import pytest
import torch

from tests.detect.test_build import eager
from tests.detect.tiny import built, images_of
from visiongraft.detect import pasting
from visiongraft.detect.judging import found_in
from visiongraft.detect.scores import Prediction
from visiongraft.detect.value import Kind


@pytest.mark.parametrize("kind", ["mask_rcnn", "faster_rcnn"])
@pytest.mark.parametrize("size", [(64, 64), (101, 67)])
def test_what_is_found_is_what_the_detector_gives_to_the_bit(kind: Kind, size: tuple[int, int]) -> None:
    detector = eager(built(kind, detections=6)).eval()
    (image,) = images_of(size)
    with torch.no_grad():
        found, (output,) = found_in(detector, image), detector([image])
    expected = Prediction.of(output)
    assert len(found.boxes) == 6
    for name in ("boxes", "scores", "labels"):
        assert (getattr(found, name) == getattr(expected, name)).all()
    if kind == "faster_rcnn":
        assert found.masks is expected.masks is None
        return
    assert output["masks"].shape == (6, 1, *size)
    assert [each.coco() for each in found.masks] == [each.coco() for each in expected.masks]
    assert any(each.area > 0 for each in found.masks)


def test_one_mask_is_drawn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    paste = pasting.paste_masks_in_image
    monkeypatch.setattr(pasting, "paste_masks_in_image", lambda *given: drawn.append(len(given[0])) or paste(*given))
    with torch.no_grad():
        found_in(eager(built("mask_rcnn", detections=6)).eval(), images_of((64, 64))[0])
    assert drawn == [1] * 6


def test_an_image_in_which_nothing_is_found_has_no_masks() -> None:
    detector = built("mask_rcnn").eval()
    detector.roi_heads.score_thresh = 2.0
    with torch.no_grad():
        assert found_in(detector, images_of((64, 64))[0]).masks == ()
