"""What a detector cannot learn from is refused in one line that names the image and the box."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from tests.detect.tiny import KINDS, built, images_of, target
from visiongraft.detect.value import Kind
from visiongraft.errors import GraftError

SIZE = (64, 64)
GOOD = [[4.0, 4.0, 40.0, 30.0], [30.0, 20.0, 60.0, 61.0]]


@pytest.fixture(scope="module")
def detector() -> nn.Module:
    return built("mask_rcnn", "resnet_pico")


def spoilt(**change: object) -> list[dict[str, Tensor]]:
    return [target(GOOD, SIZE), {**target(GOOD, SIZE), **change}]


def boxes(*rows: list[float]) -> Tensor:
    return torch.tensor([GOOD[0], *rows])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"boxes": boxes([10, 5, 10, 20])},
            "Box 1 of Image 1 of the batch is [10, 5, 10, 20] as x0 y0 x1 y1: it has no area. Boxes have x0 < x1 and"
            " y0 < y1; `graft doctor` finds those of a data set that have not.",
        ),
        ({"boxes": boxes([10, 25, 30, 20]), "name": "cells/7.png"}, "Box 1 of cells/7.png is [10, 25, 30, 20] as"),
        ({"boxes": boxes([10, 5, float("nan"), 20])}, "Box 1 of Image 1 of the batch is [10, 5, nan, 20]"),
        ({"boxes": boxes([10, 5, float("inf"), 20])}, "Box 1 of Image 1 of the batch is [10, 5, inf, 20]"),
        (
            {"labels": torch.tensor([3, 0])},
            "Box 1 of Image 1 of the batch has the label 0. Labels are 1 to 3, since num_classes counts the categories"
            " without the background, which is 0.",
        ),
        ({"labels": torch.tensor([4, 1])}, "Box 0 of Image 1 of the batch has the label 4. Labels are 1 to 3"),
        ({"labels": torch.tensor([1])}, "The labels of Image 1 of the batch are torch.int64 of shape (1,). Expected"),
        ({"labels": torch.tensor([1.0, 1.0])}, "are torch.float32 of shape (2,). Expected int64 of shape (2,)"),
        ({"boxes": torch.zeros(0)}, "The boxes of Image 1 of the batch are torch.float32 of shape (0,). Expected"),
        ({"boxes": boxes([1, 2, 3, 4]).long()}, "are torch.int64 of shape (2, 4). Expected fractions of shape (n, 4)"),
        (
            {"masks": torch.zeros(2, 32, 64)},
            "The masks of Image 1 of the batch have shape (2, 32, 64). Expected (2, 64",
        ),
    ],
)
def test_targets_that_cannot_be_learnt_from_are_named(
    detector: nn.Module, change: dict[str, Tensor], text: str
) -> None:
    with pytest.raises(GraftError) as refusal:
        detector(images_of(SIZE, SIZE), spoilt(**change))
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_detector_refuses_a_box_without_area(kind: Kind) -> None:
    network = built(kind, "convmixer_pico")
    with pytest.raises(GraftError, match="Box 0 of Image 0 of the batch is"):
        network(images=images_of(SIZE), targets=[target([[4, 4, 4, 30]], SIZE)])


def test_what_is_missing_is_named(detector: nn.Module) -> None:
    bare = {name: each for name, each in target(GOOD, SIZE).items() if name != "masks"}
    with pytest.raises(
        GraftError, match="The target of Image 0 of the batch has no 'masks', which a mask_rcnn learns"
    ):
        detector(images_of(SIZE), [bare])
    with pytest.raises(
        GraftError, match=r"While it trains, a detector takes images and targets. Call eval\(\) to find"
    ):
        detector(images_of(SIZE))
    with pytest.raises(GraftError, match="2 images came with 1 targets. Give one for each."):
        detector(images_of(SIZE, SIZE), [target(GOOD, SIZE)])


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (torch.zeros(1, 64, 64), "Image 0 of the batch is torch.float32 of shape (1, 64, 64), and a detector takes"),
        (torch.zeros(3, 64, 64, dtype=torch.uint8), "Image 0 of the batch is torch.uint8 of shape (3, 64, 64), and"),
        (torch.zeros(3, 0, 64), "Image 0 of the batch has 0x64 pixels, and nothing would be left of its shorter side"),
        (
            torch.zeros(3, 1, 200),
            "Image 0 of the batch has 1x200 pixels, and nothing would be left of its shorter side",
        ),
    ],
)
def test_images_that_cannot_be_looked_at_are_named(detector: nn.Module, image: Tensor, text: str) -> None:
    with pytest.raises(GraftError) as refusal:
        detector.eval()([image])
    assert text in str(refusal.value)
    detector.train()


def test_a_copy_of_a_detector_checks_as_well(detector: nn.Module) -> None:
    for network in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        with pytest.raises(GraftError, match="Box 0 of Image 0 of the batch is"):
            network(images_of(SIZE), [target([[4, 4, 4, 30]], SIZE)])
