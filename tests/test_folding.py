"""A folded network gives the answers of the one it was made from, and that one stays as it is."""

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

import visiongraft as vg
from tests.networks import KINDS, awake, narrow
from visiongraft.blocks import fused
from visiongraft.blocks.fused import FusedConv
from visiongraft.errors import WeightsError
from visiongraft.folding import fold
from visiongraft.network import Network


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("name", KINDS)
def test_a_folded_network_gives_the_same_maps_and_logits(name: str) -> None:
    network = awake(narrow(name))
    before = copy.deepcopy(network.state_dict())
    exact = copy.deepcopy(network).double()
    folded, images = fold(network), torch.randn(2, 3, 101, 67)
    with torch.no_grad():
        truth, found = everything(exact, images.double()), everything(folded, images)
        exactly, roughly = everything(fold(exact), images.double()), everything(network, images)
    for part, wanted in truth.items():
        room = max(10 * apart(roughly[part], wanted), 1e-6)  # that of single precision
        assert apart(exactly[part], wanted) < 1e-9
        assert apart(found[part], wanted) < room
    assert apart(folded(images), truth["logits"]) < room  # with gradients on, by the definition
    assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert any(isinstance(module, FusedConv) for module in folded.modules())


def everything(network: Network, images: torch.Tensor) -> dict[str, torch.Tensor]:
    maps = network.features(images)
    return {**maps, "logits": network.forward_head(list(maps.values())[-1])}


@pytest.mark.parametrize("name", ["resnet_pico", "botnet_pico"])
def test_no_normalisation_is_left(name: str) -> None:
    folded = fold(awake(narrow(name)))
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121", "regnet_y_400mf"])
def test_networks_of_others_are_folded_as_far_as_they_are_understood(name: str) -> None:
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None).eval()
    folded, images = fold(network), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert apart(folded(images), network(images)) < 1e-5
    left = [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) < 0.5 * sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_sequence_is_folded_and_follows_other_weights_that_it_is_given() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    folded, images = fold(network), torch.randn(2, 3, 16, 16)
    assert [type(module) for module in folded] == [FusedConv]
    with torch.no_grad():
        first = folded(images)
        folded.load_state_dict({name: 2 * each for name, each in folded.state_dict().items()})
        assert apart(folded(images), 2 * first) < 1e-6


def test_what_is_called_twice_is_called_twice() -> None:
    torch.manual_seed(0)
    shrink = nn.Tanh()
    network = nn.Sequential(nn.Conv2d(3, 3, 3), shrink, nn.Conv2d(3, 3, 3), shrink).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert apart(fold(network)(images), network(images)) < 1e-6


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}])
def test_normalisations_without_numbers_of_their_own_are_right_too(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, **options), nn.ReLU()).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert apart(fold(network)(images), network(images)) < 1e-5


def test_a_folded_network_takes_batches_of_any_length_and_numbers_of_any_precision() -> None:
    network = awake(narrow("botnet_pico"))
    folded = fold(network)
    with torch.no_grad():
        for shape in ((2, 3, 64, 64), (0, 3, 64, 64), (3, 3, 101, 67), (1, 3, 64, 96)):
            images = torch.randn(shape)
            assert_close(folded(images), network(images), rtol=1e-3, atol=1e-3)
        with torch.autocast("cpu", torch.float16):
            assert folded(torch.randn(2, 3, 64, 64)).dtype == torch.float16


def test_a_normalisation_that_does_more_is_not_taken_for_one_that_does_not() -> None:
    class Louder(nn.BatchNorm2d):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return super().forward(maps).exp()

    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), Louder(8), nn.ReLU())).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert apart(fold(network)(images), network(images)) < 1e-6


def test_what_others_use_is_not_written_over() -> None:
    network = awake(narrow("coatnet_pico"))
    images = torch.randn(2, 3, 64, 64)
    folded, seen = fold(network), images.clone()
    with torch.no_grad():
        features = folded.features(images)
        kept = {name: maps.clone() for name, maps in features.items()}
        folded(images)
    assert torch.equal(images, seen)
    assert_close(features, kept, rtol=0, atol=0)


def test_large_maps_are_made_a_few_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network = awake(narrow("coatnet_pico"))
    folded, images = fold(network), torch.randn(5, 3, 64, 64)
    batches: list[int] = []
    first = next(module for module in folded.modules() if isinstance(module, FusedConv))
    first.register_forward_hook(lambda _, given, __: batches.append(len(given[0])))
    with torch.no_grad():
        whole = folded(images)
        monkeypatch.setattr(fused, "LARGE_MAP", 2**16)
        parts = folded(images)
    assert batches[0] == 5
    assert sum(batches[1:]) == 5
    assert len(batches) > 2
    assert apart(parts, whole) < 1e-5


@pytest.mark.parametrize("name", ["botnet_pico", "coatnet_pico"])
def test_a_folded_network_computes_in_half_precision_about_as_well(name: str) -> None:
    network = awake(narrow(name))
    folded, images = fold(network), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        truth = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            assert apart(folded(images), truth) < 3 * max(apart(network(images), truth), 5e-3)


def test_a_folded_network_is_copied_and_recorded_with_what_it_knows_but_not_saved(tmp_path: Path) -> None:
    network = awake(narrow("botnet_pico"))
    folded, images = fold(network), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = folded(images)
        assert torch.equal(copy.deepcopy(folded)(images), wanted)
        assert apart(torch.export.export(folded, (images,)).module()(images), wanted) < 1e-4
    with pytest.raises(WeightsError, match="was folded, and cannot be saved. Save the network that it was made from."):
        vg.save(folded, tmp_path / "folded.safetensors")
    assert not list(tmp_path.iterdir())
