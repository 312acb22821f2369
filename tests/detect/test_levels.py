"""The levels of a pyramid follow from the strides of the network."""

import pytest

from visiongraft.detect.levels import Levels, levels_of
from visiongraft.families.zoo import get_spec, list_models


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("resnet50", Levels((1, 2, 3, 4), (4, 8, 16, 32, 64), 4)),
        ("coatnet_0", Levels((1, 2, 3, 4), (4, 8, 16, 32, 64), 4)),  # its stem, at stride 2, is too fine
        ("coatnet_6", Levels((1, 2, 4, 5), (4, 8, 16, 32, 64), 4)),  # two of its five stages have one stride
        ("botnet_s1_50", Levels((1, 2, 4), (4, 8, 16, 32, 64), 3)),  # the last stage in the place of the third
        ("botnet_pico", Levels((2, 3, 4), (4, 8, 16, 32, 64), 3)),
        ("convmixer_1536_20", Levels((1,), (3.5, 7, 14, 28, 56), 4, (-1, 0, 1, 2))),
        ("convmixer_1024_20", Levels((1,), (3.5, 7, 14, 28, 56), 4, (-2, -1, 0, 1))),
    ],
)
def test_proposals_come_from_five_levels(network: str, expected: Levels) -> None:
    assert levels_of("mask_rcnn", get_spec(network).strides) == expected
    assert levels_of("faster_rcnn", get_spec(network).strides) == expected


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("resnet50", Levels((2, 3, 4), (8, 16, 32, 64, 128), 3)),
        ("botnet_s1_50", Levels((2, 4), (8, 16, 32, 64, 128), 2)),
        ("convmixer_1536_20", Levels((1,), (7, 14, 28, 56, 112), 3, (0, 1, 2))),
        # Strides 1, 2, 4, all finer than the finest level: it is scaled from the last map, as from a single grid.
        ("resnet14_cifar", Levels((3,), (8, 16, 32, 64, 128), 3, (0, 1, 2))),
    ],
)
def test_one_stage_detectors_leave_out_the_finest_level(network: str, expected: Levels) -> None:
    assert levels_of("retinanet", get_spec(network).strides) == expected
    assert levels_of("fcos", get_spec(network).strides) == expected


@pytest.mark.parametrize("network", list_models())
def test_every_network_has_levels_whose_grids_are_whole(network: str) -> None:
    spec = get_spec(network)
    for kind in ("mask_rcnn", "fcos"):
        levels = levels_of(kind, spec.strides)
        assert all(after == 2 * before for before, after in zip(levels.strides, levels.strides[1:], strict=False))
        assert len(levels.strides) >= 5
        assert [levels.multiple % each for each in levels.strides[: levels.fed]] == [0.0] * levels.fed
        assert levels.multiple <= 64
        assert levels.multiple >= spec.smallest_image
