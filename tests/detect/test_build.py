"""Detectors on every family: any sizes, mixed ones, with and without objects, learning and finding."""

import copy
import math
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.poolers import LevelMapper

import visiongraft as vg
from tests.detect.tiny import KINDS, PAIRS, backbone, built, images_of, target, value
from visiongraft.blocks.positions import PlaneBias, PositionTables
from visiongraft.detect.build import build_detector, spec_of
from visiongraft.detect.frozen import freeze_norms
from visiongraft.detect.regions import LevelAnchors, LevelOfRegion
from visiongraft.detect.value import Kind
from visiongraft.errors import SpecError
from visiongraft.network import Network
from visiongraft.surgery.network import build

CLASSES = {"mask_rcnn": MaskRCNN, "faster_rcnn": FasterRCNN, "retinanet": RetinaNet, "fcos": FCOS}
MIXED = [(64, 64), (50, 90), (33, 47)]
OBJECTS = [
    target([[4, 4, 40, 30], [30.5, 20, 60, 61]], MIXED[0], [1, 3]),
    target([], MIXED[1]),
    target([[1, 2, 30, 40]], MIXED[2], [2]),
]


def learnt_from(detector: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    torch.manual_seed(2)
    losses = detector(images, targets)
    sum(losses.values()).backward()
    return losses


@pytest.mark.parametrize(("kind", "network"), PAIRS)
def test_a_detector_learns_from_images_of_any_sizes_with_and_without_objects(kind: Kind, network: str) -> None:
    detector = built(kind, network)
    assert type(detector) is CLASSES[kind]
    assert spec_of(detector) == value(kind, network)
    losses = learnt_from(detector, images_of(*MIXED), OBJECTS)
    assert all(bool(each.isfinite()) and float(each.detach()) >= 0 for each in losses.values())
    without = [name for name, each in detector.named_parameters() if each.grad is None]
    assert without == []
    body = dict(detector.backbone.body.named_parameters())
    assert any(float(each.grad.abs().sum()) > 0 for name, each in body.items() if name.startswith("stem"))


@pytest.mark.parametrize(("kind", "network"), PAIRS)
def test_a_detector_finds_objects_in_images_of_any_sizes(kind: Kind, network: str) -> None:
    detector = eager(built(kind, network, detections=20)).eval()
    sizes = [(101, 67), (40, 120), (64, 64)]
    with torch.no_grad():
        found = detector(images_of(*sizes))
    for each, (height, width) in zip(found, sizes, strict=True):
        boxes, labels = each["boxes"], each["labels"]
        assert 0 < len(boxes) <= 20
        assert bool(boxes.isfinite().all()) and bool((boxes >= 0).all())
        assert bool((boxes <= torch.tensor([width, height, width, height]) + 1e-3).all())
        assert set(labels.tolist()) <= {1, 2, 3}
        if kind == "mask_rcnn":
            assert each["masks"].shape == (len(boxes), 1, height, width)


def eager(detector: nn.Module) -> nn.Module:
    """Let a detector give whatever it finds, however improbable."""
    finds(detector).score_thresh = 0.0
    return detector


def finds(detector: nn.Module) -> nn.Module:
    """Give the part of a detector that knows its thresholds."""
    return getattr(detector, "roi_heads", detector)


def brisk(detector: nn.Module) -> nn.Module:
    """Let a detector of regions look at few of them."""
    if hasattr(detector, "rpn"):
        detector.rpn._post_nms_top_n = {"training": 40, "testing": 40}
        detector.roi_heads.fg_bg_sampler.batch_size_per_image = 16
    return detector


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", ["plain", "normalised"])
def test_a_batch_without_any_object_is_learnt_from(kind: Kind, heads: str) -> None:
    detector = built(kind, "convmixer_pico", heads=heads)
    losses = learnt_from(detector, images_of((64, 64), (64, 80)), [target([], (64, 64)), target([], (64, 80))])
    assert all(bool(each.isfinite()) for each in losses.values())
    assert all(bool(each.isfinite().all()) for each in detector.state_dict().values())
    # Several processes wait for the gradient of each parameter.
    assert [name for name, each in detector.named_parameters() if each.grad is None] == []
    assert all(bool(each.grad.isfinite().all()) for each in detector.parameters())


def torchvisions(kind: Kind) -> nn.Module:
    torch.manual_seed(0)
    plain = kind in ("mask_rcnn", "faster_rcnn")
    features = resnet_fpn_backbone(
        backbone_name="resnet18",
        weights=None,
        norm_layer=nn.BatchNorm2d,
        trainable_layers=5,
        **({} if plain else {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}),
    )
    return CLASSES[kind](features, 4, min_size=128, max_size=128)


@pytest.mark.parametrize("kind", KINDS)
def test_on_torchvisions_resnet_it_is_torchvisions_detector_with_its_names_and_numbers(kind: Kind) -> None:
    theirs = torchvisions(kind)
    network = vg.Foreign("torchvision:resnet18", num_classes=10, image=(128, 128))
    finds(theirs).detections_per_img = 10
    ours = build_detector(value(kind, network, min_size=(128,), max_size=128, width=256, detections=10))
    coarser = {"p6": "convs.0", "p7": "convs.1"}
    tensors = OrderedDict()
    for name, each in theirs.state_dict().items():
        tensors[".".join(coarser.get(part, part) for part in name.split("."))] = each
    ours.load_state_dict(tensors)
    for each in (ours, theirs):
        brisk(each)
    images, size = images_of((128, 128), (64, 128)), (128, 128)
    targets = [target([[4, 4, 90, 70], [60, 30, 120, 121]], size, [1, 3]), target([[3, 3, 40, 60]], (64, 128), [2])]
    wanted, losses = learnt_from(theirs, images, targets), learnt_from(ours, images, targets)
    assert losses.keys() == wanted.keys()
    for name, each in wanted.items():
        torch.testing.assert_close(losses[name], each)
    with torch.no_grad():
        expected, found = (eager(each).eval()(images) for each in (theirs, ours))
    for one, other in zip(expected, found, strict=True):
        real = one["labels"] > 0  # torchvision's one-stage detectors find background as well
        for key in one:
            torch.testing.assert_close(other[key], one[key][real])


@pytest.mark.parametrize("kind", ["faster_rcnn", "retinanet"])
def test_boxes_are_those_of_the_image_as_it_was_given(kind: Kind) -> None:
    detector = eager(built(kind)).eval()
    (image,) = images_of((64, 64))
    larger = image.repeat_interleave(2, 1).repeat_interleave(2, 2)  # what half of it is, is the image again
    with torch.no_grad():
        (small,), (large,) = detector([image]), detector([larger])
    torch.testing.assert_close(large["boxes"], 2 * small["boxes"], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(large["scores"], small["scores"])


@pytest.mark.parametrize("network", ["botnet_pico", "coatnet_pico"])
def test_what_position_tables_keep_for_one_size_is_not_used_for_another(network: str) -> None:
    detector = eager(built("faster_rcnn", network)).eval()
    wake(detector)
    fresh = copy.deepcopy(detector)
    first, second = images_of((64, 64), (64, 96))
    with torch.no_grad():
        before = [detector([each])[0]["scores"] for each in (first, second, first)]
        kept = [each for each in detector.modules() if isinstance(each, PositionTables)]
        assert {len(each._kept) for each in kept} == {2}
        again = fresh([second])[0]["scores"]
    assert torch.equal(before[0], before[2])
    assert torch.equal(before[1], again)
    assert not torch.equal(before[0], before[1][: len(before[0])])


def wake(detector: nn.Module) -> None:
    """Let position tables and branches matter."""
    generator = torch.Generator().manual_seed(3)
    for module in detector.modules():
        if isinstance(module, PositionTables):
            for each in module.parameters():
                each.data = torch.randn(each.shape, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)


def test_tables_of_a_large_image_are_computed_anew_and_not_kept() -> None:
    tables = PlaneBias(heads=2, grid=(8, 8)).eval()
    with torch.no_grad():
        (small,) = tables((16, 16))
        assert len(tables._kept) == 1
        (large,) = tables((55, 55))  # 2 x 3025 x 3025 numbers
        assert large.shape == (2, 3025, 3025)
        assert len(tables._kept) <= 1
        assert sum(each.numel() for kept, _ in tables._kept.values() for each in kept) < 2**20
        assert torch.equal(tables((16, 16))[0], small)


@pytest.mark.parametrize("kind", KINDS)
def test_levels_of_a_single_grid_are_scaled_by_powers_of_two(kind: Kind) -> None:
    detector = built(kind, "convmixer_pico")
    pyramid = detector.backbone
    side = pyramid.multiple * 4
    maps = pyramid(torch.rand(1, 3, side, 2 * side))
    assert [tuple(each.shape[1:]) for each in maps.values()] == [
        (pyramid.out_channels, math.ceil(side / each), math.ceil(2 * side / each)) for each in pyramid.levels.strides
    ]


def test_scaled_levels_are_independent_and_the_finest_is_finer_than_the_map() -> None:
    pyramid = built("mask_rcnn", "convmixer_pico").backbone
    assert len(pyramid.names) == 1
    assert pyramid.levels.scales[0] <= 0 < pyramid.levels.scales[-1]
    wanted, _ = pyramid.fpn.scaled[0], pyramid.fpn.scaled[1]
    images = torch.rand(1, 3, 64, 64)
    before = [each.detach() for each in pyramid(images).values()]
    for each in wanted.parameters():
        each.data += 1.0
    after = [each.detach() for each in pyramid(images).values()]
    assert [torch.equal(one, other) for one, other in zip(before, after, strict=True)] == [False] + [True] * 4


def test_anchors_are_as_far_apart_as_the_cells() -> None:
    anchors = LevelAnchors((3.5, 64), [(28,), (512,)], (1.0,))
    maps = [torch.zeros(2, 4, 16, 24), torch.zeros(2, 4, 1, 2)]
    first, second = anchors(ImageList(torch.zeros(2, 3, 56, 84), [(56, 84), (50, 60)]), maps)
    assert torch.equal(first, second)
    centres = (first[:, :2] + first[:, 2:]) / 2
    assert centres[1].tolist() == [3.5, 0.0]
    assert centres[24].tolist() == [0.0, 3.5]
    assert centres[16 * 24 - 1].tolist() == [23 * 3.5, 15 * 3.5]
    assert centres[-1].tolist() == [64.0, 0.0]
    assert (first[0, 2] - first[0, 0]).item() == 28.0


@pytest.mark.parametrize(
    ("kind", "ratios"), [("faster_rcnn", (1.0,)), ("mask_rcnn", (0.5, 1.0)), ("retinanet", (1.0,))]
)
def test_anchors_are_as_large_as_the_value_says_and_the_heads_answer_for_each(
    kind: Kind, ratios: tuple[float, ...]
) -> None:
    detector = brisk(eager(built(kind, anchors=(2.5, 4.0), ratios=ratios)))
    known = detector.anchor_generator if kind == "retinanet" else detector.rpn.anchor_generator
    finest = detector.backbone.levels.strides[0]
    assert known.sizes[0] == (int(2.5 * finest), 4 * finest)
    assert known.num_anchors_per_location() == [2 * len(ratios)] * 5
    losses = learnt_from(detector, images_of(*MIXED), OBJECTS)
    assert all(bool(each.isfinite()) for each in losses.values())
    with torch.no_grad():
        assert len(detector.eval()(images_of(MIXED[0]))[0]["boxes"])


def test_so_many_proposals_are_looked_for_and_half_as_many_when_nothing_is_learnt() -> None:
    detector = built("faster_rcnn", proposals=30)
    rpn = detector.rpn
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (30, 30)
    rpn.eval()
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (15, 15)


def test_regions_go_to_the_levels_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    sides = torch.exp(torch.rand(200, 2, generator=generator) * 6.5)
    sides[:4] = torch.tensor([[112.0, 112.0], [224.0, 224.0], [448.0, 448.0], [111.9, 111.9]])
    boxes = [torch.cat([torch.zeros(200, 2), sides], 1)]
    theirs = LevelMapper(2, 5)(boxes)
    assert torch.equal(LevelOfRegion((4, 8, 16, 32))(boxes), theirs)
    assert set(theirs.tolist()) == {0, 1, 2, 3}
    assert torch.equal(LevelOfRegion((2, 4, 8, 16))([2 * boxes[0] / 4]), theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_exact_where_the_heads_compute_in_half_precision(kind: Kind) -> None:
    detector = eager(built(kind))
    with torch.autocast("cpu", torch.bfloat16):
        losses = learnt_from(detector, images_of(*MIXED), OBJECTS)
        with torch.no_grad():
            found = detector.eval()(images_of((64, 64)))[0]
    assert all(bool(each.isfinite()) for each in losses.values())
    assert found["boxes"].dtype == torch.float32
    anchors = torch.tensor([[1001.0, 903.0, 1030.0, 930.0]])
    nothing = torch.zeros(1, 4, dtype=torch.bfloat16)
    coders = [each.box_coder for each in detector.modules() if hasattr(each, "box_coder")]
    assert coders
    for coder in coders:
        boxes = coder.decode(nothing, anchors) if kind == "fcos" else coder.decode_single(nothing, anchors)
        middle = [1015.5, 916.5]
        assert boxes.tolist()[0] == (2 * middle if kind == "fcos" else anchors.tolist()[0])


def test_frozen_norms_compute_what_they_did_and_learn_nothing() -> None:
    torch.manual_seed(0)
    network = Network(backbone("botnet_pico"))
    images = torch.rand(2, 3, 64, 64)
    wake(network)
    network.train()(images)
    network.eval()
    expected = network(images)
    freeze_norms(network)
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(network.train()(images), expected)
    assert not [name for name, _ in network.named_parameters() if "norm" in name]


def test_frozen_norms_of_timm_go_on_activating() -> None:
    torch.manual_seed(0)
    network = build(vg.Foreign("timm:test_efficientnet", 10)).eval()
    images = torch.rand(2, 3, 64, 64)
    expected = network(images)
    freeze_norms(network)
    torch.testing.assert_close(copy.deepcopy(network).train()(images), expected)
    assert not [name for name, _ in network.named_parameters() if "bn" in name]


def test_norms_that_do_more_than_anybody_knows_are_not_frozen() -> None:
    class Doubling(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    with pytest.raises(SpecError, match=r"^A Doubling does more than normalise, and cannot be frozen here\. Give"):
        freeze_norms(nn.Sequential(Doubling(3)))


@pytest.mark.parametrize(("norm", "still"), [("frozen", True), ("train", False), ("sync", False)])
def test_statistics_stay_where_they_are_frozen_alone(norm: str, still: bool) -> None:
    detector = built("faster_rcnn", norm=norm)
    before = {name: each.clone() for name, each in detector.named_buffers() if name.endswith("running_mean")}
    assert before
    learnt_from(detector, images_of(MIXED[0]), OBJECTS[:1])
    after = dict(detector.named_buffers())
    assert all(torch.equal(each, after[name]) == still for name, each in before.items())


def test_pixels_are_normalised_and_resized_as_the_value_says() -> None:
    detector = built("retinanet", mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), min_size=(48, 64), max_size=80)
    shown: list[Tensor] = []
    detector.backbone.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    image = torch.tensor([0.6, 0.8, 1.0]).view(3, 1, 1).expand(3, 32, 32)
    with torch.no_grad():
        detector.eval()([image])
    assert shown[0].shape == (1, 3, 64, 64)
    torch.testing.assert_close(shown[0][0, :, 0, 0], torch.tensor([1.0, 1.0, 1.0]))
    with torch.no_grad():
        detector([torch.rand(3, 20, 100)])
    assert shown[1].shape == (1, 3, 16, 80)  # 16 x 80, padded to multiples of 16


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_objects_are_found_as_the_value_allows(kind: Kind) -> None:
    detector = eager(built(kind, detections=2)).eval()
    finds(detector).nms_thresh = 1.0
    if finds(detector) is detector:  # what it finds of background counts as well, until that is left out
        detector.head.classification_head.cls_logits.bias.data[0::4] = -20.0
    with torch.no_grad():
        assert len(detector(images_of((64, 64)))[0]["boxes"]) == 2


def test_what_is_found_of_no_category_is_left_out() -> None:
    detector = eager(built("retinanet")).eval()
    bias = detector.head.classification_head.cls_logits.bias
    with torch.no_grad():
        bias[0::4] = 5.0  # background, at each of nine anchors
        found = detector(images_of((64, 64)))[0]
    assert found.keys() == {"boxes", "scores", "labels"}
    assert not bool((found["labels"] == 0).any())
    assert {len(each) for each in found.values()} == {len(found["labels"])}


def test_a_module_that_is_no_detector_of_a_value_is_refused() -> None:
    with pytest.raises(
        SpecError, match="This Linear is no detector of a value. Give one that visiongraft.detect made."
    ):
        spec_of(nn.Linear(1, 1))
