"""What training, fine-tuning and dense prediction ask of every network beyond its output."""

import copy
import gc
import re
import weakref

import pytest
import torch
from torch import Tensor, nn

from tests.networks import KINDS, PICOS, awake, narrow, shallow
from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.primitives import DropPath, activation, channel_means
from visiongraft.errors import SpecError
from visiongraft.families.zoo import list_models
from visiongraft.network import FeatureExtractor, Network
from visiongraft.weights.models import create_model


def step(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Give the loss of one step and, by name, the gradients and what else it has changed."""
    torch.manual_seed(1)
    loss = network(images).square().sum()
    loss.backward()
    grads = {name: each.grad for name, each in network.named_parameters()}
    return loss.detach(), grads | dict(network.named_buffers())


@pytest.mark.parametrize("name", KINDS)
def test_recomputing_changes_neither_loss_nor_gradients_nor_statistics(name: str) -> None:
    network = awake(narrow(name), drop_path=0.5, dropout=0.5).train()
    other = copy.deepcopy(network)
    other.set_grad_checkpointing()
    images = torch.randn(2, 3, 96, 64)
    (loss, found), (other_loss, other_found) = step(network, images), step(other, images)
    assert torch.equal(loss, other_loss)
    assert found.keys() == other_found.keys()
    assert [key for key, each in found.items() if not torch.equal(each, other_found[key])] == []


def test_recomputing_draws_the_same_branches_again() -> None:
    torch.manual_seed(0)
    network = create_model("resnet_pico", drop_path=0.9).train()
    masks: dict[str, list[Tensor]] = {}
    for name, module in network.named_modules():
        if isinstance(module, DropPath):
            module.register_forward_hook(
                lambda _, __, out, name=name: masks.setdefault(name, []).append(out.abs().sum((1, 2, 3)) > 0)
            )
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    network.set_grad_checkpointing()
    network(torch.randn(16, 3, 64, 64)).sum().backward()
    assert len(masks) == 6
    assert all(len(each) == 2 and torch.equal(*each) for each in masks.values())
    assert not all(bool(each[0].all()) for each in masks.values())


@pytest.mark.parametrize("name", PICOS)
def test_recomputing_keeps_less(name: str) -> None:
    network = create_model(name, num_classes=3).train()
    images = torch.randn(4, 3, 64, 64)
    everything = bytes_kept(network, images)
    network.set_grad_checkpointing()
    assert bytes_kept(network, images) < 0.5 * everything
    network.set_grad_checkpointing(False)
    assert bytes_kept(network, images) == everything


def bytes_kept(network: nn.Module, images: Tensor) -> int:
    """Add up the outputs of all modules that are still there between the forward and the backward pass."""
    seen: list[weakref.ref] = []
    gc.freeze()  # what is there already need not be searched, which takes half a second
    handles = [
        module.register_forward_hook(lambda _, __, out: seen.append(weakref.ref(out.untyped_storage())))
        for module in network.modules()
        if not list(module.children()) and not isinstance(module, PositionTables)
    ]
    loss = network(images).sum()
    gc.collect()
    kept = {each.data_ptr(): each.nbytes() for each in (ref() for ref in seen) if each is not None}
    loss.backward()
    for handle in handles:
        handle.remove()
    gc.unfreeze()
    return sum(kept.values())


def test_a_failure_while_recomputing_leaves_the_statistics_as_they_were() -> None:
    network = create_model("resnet_pico").train()
    network.set_grad_checkpointing()
    loss = network(torch.randn(2, 3, 64, 64)).sum()
    norm = network.stages[0][1].norm1
    before = {key: each.clone() for key, each in norm.state_dict().items()}

    def fail(*_: object) -> None:
        raise RuntimeError("no more memory")

    network.stages[0][1].expand.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="no more memory"):
        loss.backward()
    assert norm.momentum == 0.1
    assert all(torch.equal(each, before[key]) for key, each in norm.state_dict().items())


def test_a_network_that_recomputes_compiles_to_one_graph_and_exports() -> None:
    network = awake(narrow("coatnet_pico"))
    network.set_grad_checkpointing()
    images = torch.randn(2, 3, 64, 64)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), network(images))
    compiled(images).sum().backward()
    exported = torch.export.export(network, (images,)).module()
    torch.testing.assert_close(exported(images), network(images))


def test_a_feature_extractor_recomputes_as_well() -> None:
    network = awake(narrow("cotnet_pico")).train()
    images = torch.randn(2, 3, 64, 64)
    extractor = FeatureExtractor(network, (1, 3))
    wanted = torch.autograd.grad(sum(each.sum() for each in extractor(images)), network.stem[0].weight)
    extractor.set_grad_checkpointing()
    found = torch.autograd.grad(sum(each.sum() for each in extractor(images)), network.stem[0].weight)
    assert torch.equal(wanted[0], found[0])


@pytest.mark.parametrize("name", list_models())
def test_parameters_are_grouped_by_depth_and_positions_are_told_from_weights(name: str) -> None:
    with torch.device("meta"):
        network = Network(shallow(name))
    fine, coarse = network.group_matcher(), network.group_matcher(coarse=True)
    for key, _ in network.named_parameters():
        place = [key.startswith("stem"), re.match(fine["blocks"], key), key.startswith("head")]
        assert sum(map(bool, place)) == 1, key
        assert bool(re.match(fine["stem"], key)) == place[0]
        assert bool(re.match(coarse["blocks"], key)) == bool(place[1])
    positions = network.no_weight_decay()
    assert positions <= dict(network.named_parameters()).keys()
    attends = any(word in network.spec.to_json() for word in ("GridAttention", "RelativeTransformer"))
    assert bool(positions) == (attends and name != "botnet50_content")


@pytest.mark.parametrize("name", PICOS)
def test_intermediate_maps_are_those_of_features_in_the_order_asked_for(name: str) -> None:
    network = awake(narrow(name))
    images = torch.randn(2, 3, 64, 96)
    everything = list(network.features(images).values())
    last, found = network.forward_intermediates(images)
    assert same(found, everything)
    assert same([last], [network.forward_features(images)])
    assert same(network.forward_intermediates(images, (-1, 0), intermediates_only=True), everything[:: 1 - len(found)])
    assert same(network.forward_intermediates(images, 2, intermediates_only=True), everything[-2:])
    early, found = network.forward_intermediates(images, [0], stop_early=True)
    assert same([early, *found], everything[:1] * 2)


def same(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return len(found) == len(wanted) and all(map(torch.equal, found, wanted))


def test_stopping_early_computes_nothing_behind_the_last_map_that_is_asked_for() -> None:
    network = create_model("resnet_pico")
    network.stages[2].register_forward_hook(lambda *_: pytest.fail("stage 3 was computed"))
    network.forward_intermediates(torch.randn(1, 3, 64, 64), (0, 2), stop_early=True)


def test_the_last_intermediate_map_is_normalised_where_the_head_normalises_cells() -> None:
    images = torch.randn(1, 3, 64, 64)
    for name, normalised in {"coatnet_nano_rw_224": True, "coatnet_pico": False, "resnet_pico": False}.items():
        network = awake(narrow(name))
        last, found = network.forward_intermediates(images, norm=True)
        assert torch.equal(found[-1], network.head.norm(last) if normalised else last)
        assert torch.equal(found[-1], last) != normalised


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        ({"indices": (5,)}, r"resnet_pico has feature maps 0 to 4, and indices asks for \(5,\)\."),
        ({"indices": 6}, r"has feature maps 0 to 4, and indices asks for \(-6, -5, -4, -3, -2, -1\)\."),
        ({"indices": 0}, r"indices asks for \(\)\."),
        ({"output_fmt": "NHWC"}, r"Feature maps are NCHW, and output_fmt asks for 'NHWC'\. Permute them afterwards\."),
    ],
)
def test_maps_that_there_are_not_are_refused(ask: dict[str, object], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        create_model("resnet_pico").forward_intermediates(torch.randn(1, 3, 64, 64), **ask)


@pytest.mark.parametrize("name", PICOS)
def test_an_input_size_set_in_place_is_that_of_a_copy_at_this_size(name: str) -> None:
    network = awake(narrow(name))
    copied = network.at((96, 64))
    assert network.spec.image != (96, 64)
    network.set_input_size((96, 64))
    assert network.spec == copied.spec
    assert same(list(network.parameters()), list(copied.parameters()))


def test_the_features_of_the_last_map_and_of_the_head_are_told_apart() -> None:
    network = create_model("coatnet_0_rw_224", num_classes=0)
    assert (network.num_features, network.head_hidden_size) == (768, 768)
    head = network.forward_head(torch.randn(1, network.num_features, 2, 2), pre_logits=True)
    assert head.shape == (1, network.head_hidden_size)


@pytest.mark.parametrize("name", ["resnet_pico", "cotnet_pico", "coatnet_pico"])
def test_hooks_on_any_module_see_what_it_gave_outside_training(name: str) -> None:
    network = create_model(name).eval()
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for place, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(
                lambda _, __, out, place=place: seen.__setitem__(place, (out, out.detach().clone()))
            )
            module.register_full_backward_hook(lambda *_: None)
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert seen
    for place, (kept, was) in seen.items():
        assert torch.equal(kept, was), place


@pytest.mark.parametrize("name", PICOS)
def test_backward_hooks_on_what_takes_and_gives_maps_change_no_gradient_while_training(name: str) -> None:
    network, images = awake(narrow(name)).train(), torch.randn(2, 3, 64, 64, requires_grad=True)
    hooked, seen = copy.deepcopy(network), list[type[nn.Module]]()
    for module in hooked.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Sequential):
            module.register_full_backward_hook(lambda module, *_: seen.append(type(module)))
    (_, wanted), (_, found) = step(network, images), step(hooked, images)
    assert nn.BatchNorm2d in seen
    assert all(torch.equal(found[key], each) for key, each in wanted.items())


def test_an_activation_overwrites_its_map_while_training_unless_that_is_a_view() -> None:
    act = activation("relu").train()
    maps = torch.randn(2, 3, requires_grad=True) * 2
    assert act(maps).data_ptr() == maps.data_ptr()
    assert act(maps.view(6)).data_ptr() != maps.data_ptr()
    assert act.eval()(maps).data_ptr() != maps.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_means_of_a_gate_are_pytorchs_and_hold_in_every_precision(dtype: torch.dtype) -> None:
    maps = (torch.rand(2, 3, 112, 100) + 100.0).to(dtype).requires_grad_()  # a sum of 1.1 million, beyond float16
    means = channel_means(maps)
    torch.testing.assert_close(means, maps.mean((2, 3)))
    (found,) = torch.autograd.grad(means.sum(), maps)
    torch.testing.assert_close(found, torch.full_like(maps, 1 / 11_200))
