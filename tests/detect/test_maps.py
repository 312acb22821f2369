"""Networks of others, and grafted ones, as backbones."""

import pytest
import torch
from torch import nn

import visiongraft as vg
from tests.detect.tiny import backbone, built, images_of, target
from visiongraft.detect.maps import Map, maps_of
from visiongraft.errors import SpecError
from visiongraft.surgery.network import build
from visiongraft.surgery.planting import Inserted


def foreign(name: str) -> vg.Foreign:
    return vg.Foreign(f"torchvision:{name}", num_classes=3, image=(64, 64))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "resnet18",
            [Map("relu", 64, 2), Map("layer1", 64, 4), Map("layer2", 128, 8), Map("layer3", 256, 16),
             Map("layer4", 512, 32)],
        ),
        (
            "mobilenet_v3_small",
            [Map("features.0", 16, 2), Map("features.1", 16, 4), Map("features.3", 24, 8), Map("features.8", 48, 16),
             Map("features", 576, 32)],
        ),
    ],
)  # fmt: skip
def test_the_last_map_of_each_grid_is_taken(name: str, expected: list[Map]) -> None:
    with torch.device("meta"):
        network = build(foreign(name))
    assert list(maps_of(network)) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "vit_b_16",
            "torchvision_vit_b_16 cannot look at 256x512 pixels, as a detector has it do: AssertionError: Wrong",
        ),
        (
            "swin_t",
            "torchvision_swin_t gives maps (batch, channels, h, w) of 4, 32 pixels a cell, and a detector on a",
        ),
    ],
)
def test_a_network_whose_maps_do_not_shrink_step_by_step_is_refused(name: str, text: str) -> None:
    with torch.device("meta"):
        network = build(vg.Foreign(f"torchvision:{name}", num_classes=3))
    with pytest.raises(SpecError) as refusal:
        maps_of(network)
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_behind_the_last_map_is_left_out() -> None:
    detector = built("faster_rcnn", foreign("resnet18"))
    assert isinstance(detector.backbone.body.fc, nn.Identity)
    names = [name for name in detector.state_dict() if name.startswith("backbone.body.")]
    assert "backbone.body.layer4.1.conv2.weight" in names
    assert not [name for name in names if ".fc." in name]


def test_a_grafted_mixer_is_part_of_what_is_looked_at() -> None:
    value = vg.Grafted(foreign("resnet18"), (vg.Graft("layer2", vg.GridAttention(heads=4), "insert"),))
    detector = built("faster_rcnn", value)
    images = torch.rand(1, 3, 64, 96)
    before = [each.detach() for each in detector.eval().backbone(images).values()]
    for each in detector.modules():
        if isinstance(each, Inserted):
            nn.init.ones_(each.scale.gamma)
    after = [each.detach() for each in detector.backbone(images).values()]
    assert not any(torch.equal(one, other) for one, other in zip(before[1:], after[1:], strict=True))
    detector.train()
    losses = detector(images_of((64, 96)), [target([[4, 4, 40, 30]], (64, 96))])
    sum(losses.values()).backward()
    assert all(each.grad is not None for each in detector.parameters())


def test_a_graft_in_a_network_of_ours_is_part_of_what_is_looked_at() -> None:
    value = vg.Grafted(backbone("resnet_pico"), (vg.Graft("stages.2.*", vg.GridAttention(heads=4), "insert"),))
    detector = built("fcos", value)
    (inserted, *_) = [name for name, each in detector.named_modules() if isinstance(each, Inserted)]
    assert inserted.startswith("backbone.body.stages.2.")
    losses = detector(images_of((64, 96)), [target([[4, 4, 40, 30]], (64, 96))])
    sum(losses.values()).backward()
    assert all(each.grad is not None for each in detector.parameters())
