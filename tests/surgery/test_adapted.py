"""Weights of a network, in its grafted form and in other forms of that."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import visiongraft as vg
from visiongraft.blocks.positions import PositionTables
from visiongraft.errors import GraftError, WeightsError
from visiongraft.surgery.foreign import Blueprint, Foreign, Grafted
from visiongraft.surgery.network import AnyNetwork, body_of, build, with_classes
from visiongraft.surgery.words import Graft
from visiongraft.train.synced import synchronised
from visiongraft.weights.adapt import adapted_to, share_kept

BARE = Foreign("timm:test_resnet", num_classes=5, image=(64, 64))
REPLACE = Graft("layer4.*.conv2", vg.GridAttention(heads=4))
INSERT = Graft("layer3", vg.GridAttention(heads=4), "insert")


def made(spec: Blueprint) -> AnyNetwork:
    torch.manual_seed(0)
    return build(spec).eval()


@pytest.mark.parametrize("graft", [REPLACE, INSERT])
def test_a_graft_keeps_all_weights_but_those_of_what_it_replaces(graft: Graft) -> None:
    source = made(BARE)
    network = adapted_to(source, Grafted(BARE, (graft,)))
    own, theirs = body_of(network).state_dict(), body_of(source).state_dict()
    kept = [name for name in theirs if graft is INSERT or not name.startswith("layer4.0.conv2.")]
    assert len(kept) == len(theirs) - (graft is REPLACE)
    assert all(torch.equal(own[name], theirs[name]) for name in kept)
    numbers = {name: each.numel() for name, each in source.body.named_parameters()}
    share = sum(numbers[name] for name in kept if name in numbers) / sum(numbers.values())
    assert share_kept(source, network) == pytest.approx(share)


def test_weights_of_a_grafted_network_go_into_one_with_other_classes_size_and_one_more_graft() -> None:
    source = made(Grafted(BARE, (REPLACE,)))
    spec = with_classes(Grafted(BARE, (REPLACE, INSERT)), 3).at(96)
    network = adapted_to(source, spec)
    assert network.spec == spec
    assert network.eval()(torch.rand(1, 3, 96, 96)).shape == (1, 3)
    grids = {name: each.grid for name, each in network.body.named_modules() if isinstance(each, PositionTables)}
    assert grids["layer4.0.conv2.positions"] == (3, 3)
    ours, theirs = (body_of(each).state_dict() for each in (network, source.at(96)))
    assert {name for name, each in theirs.items() if ours[name].shape != each.shape} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(ours[name], each) for name, each in theirs.items() if not name.startswith("fc."))


def test_weights_of_our_networks_go_into_their_grafted_form() -> None:
    source = vg.create_model("resnet_pico", num_classes=5)
    spec = Grafted(source.spec, (Graft("stages.2", vg.GridAttention(heads=4), "insert"),))
    network = adapted_to(source, spec)
    assert all(torch.equal(network.body.state_dict()[name], each) for name, each in source.state_dict().items())
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(network.eval()(images), source.eval()(images))


@pytest.mark.parametrize(
    ("source", "wanted", "text"),
    [
        (
            Grafted(BARE, (REPLACE,)),
            BARE,
            "These are weights of timm_test_resnet+gridattention-at-layer4.conv2, whose grafts timm_test_resnet does"
            " not have. Give all of them, in their order, or weights without grafts.",
        ),
        (
            BARE,
            replace(BARE, source="timm:test_efficientnet"),
            "These are weights of timm_test_resnet, and timm_test_efficientnet is another network.",
        ),
        (
            BARE,
            replace(BARE, in_chans=1),
            "These weights of timm_test_resnet do not fit timm_test_resnet: 'conv1.0.weight' is another there.",
        ),
    ],
)
def test_weights_of_something_else_are_refused(source: Blueprint, wanted: Blueprint, text: str) -> None:
    with pytest.raises(WeightsError) as refusal:
        adapted_to(made(source), wanted)
    assert str(refusal.value) == text


class Strange(nn.BatchNorm2d):
    """One of a class that nobody here knows."""


def test_batch_norms_of_others_are_not_left_apart_in_several_processes() -> None:
    network = made(BARE)
    network.body.layer4[0].bn1 = Strange(network.body.layer4[0].bn1.num_features)
    with pytest.raises(GraftError) as refusal:
        synchronised(network, torch.device("cpu"))
    assert str(refusal.value) == (
        "timm_test_resnet has a Strange, whose means several processes cannot share here. Train it with one."
    )
    kinds = {type(each) for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)}
    assert not any("Synced" in each.__name__ for each in kinds)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batch_norms_that_activate_as_well_still_do_when_processes_share_their_means(device: str) -> None:
    network = made(replace(BARE, source="timm:test_efficientnet"))
    images = torch.rand(2, 3, 64, 64)
    before, names = network(images), network.state_dict().keys()
    kinds = {type(each).__name__ for each in network.modules() if isinstance(each, nn.BatchNorm2d)}
    assert kinds == {"BatchNormAct2d"}
    shared = synchronised(network, torch.device(device))
    norms = [each for each in shared.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    assert {type(each).__name__ for each in norms} == {"SyncedBatchNormAct2d"}
    if device == "cpu":  # PyTorch's own refuses tensors of a CPU
        torch.testing.assert_close(shared(images), before)
    assert shared.state_dict().keys() == names
