"""Networks can be compiled without a graph break, exported at any size, and run in half precision."""

import pytest
import torch

from tests.networks import KINDS, PICOS, shallow
from visiongraft.blocks.site import Runtime
from visiongraft.families.zoo import create_model

SIDE = 64


def network_and_images(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    network = create_model(shallow(name)).eval()
    for module in network.modules():  # residual branches start silent: let them speak, or nothing is compared
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return network, torch.randn(2, 3, SIDE, SIDE)


@pytest.mark.parametrize("name", [*PICOS, "nonlocal_resnet50", "botnet50_content_absolute", "se_cotnetd152"])
def test_every_kind_of_network_is_one_graph_while_training(name: str) -> None:
    torch._dynamo.reset()
    network, images = network_and_images(name)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    wanted = network.train()(images)
    network.load_state_dict(state)
    found = torch.compile(network, fullgraph=True, backend="eager")(images)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()


@pytest.mark.parametrize("name", PICOS)
def test_every_family_is_exported_once_for_all_sizes(name: str) -> None:
    network, images = network_and_images(name)
    # One graph holds for every size that leaves the last stage more than one cell along each axis.
    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=33), 3: torch.export.Dim("width", min=33)}
    with torch.no_grad():
        exported = torch.export.export(
            network, (images,), dynamic_shapes=(sides,), prefer_deferred_runtime_asserts_over_guards=True
        ).module()
        for shape in [(2, 3, SIDE, SIDE), (1, 3, 96, 160), (3, 3, 67, 101)]:
            others = torch.randn(shape)
            torch.testing.assert_close(exported(others), network(others))


def test_a_hybrid_compiled_to_machine_code_gives_the_same_logits_and_gradients() -> None:
    torch._dynamo.reset()
    network, images = network_and_images("coatnet_pico")
    wanted = network(images)
    gradients = torch.autograd.grad(wanted.square().sum(), list(network.parameters()))
    found = torch.compile(network, fullgraph=True)(images)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), list(network.parameters())), gradients, strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_half_precision_and_autocast_stay_near_float32(name: str) -> None:
    network, images = network_and_images(name)
    with torch.no_grad():
        wanted = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(images)
        half = network.bfloat16()(images.bfloat16())
    assert half.dtype == torch.bfloat16
    scale = wanted.abs().max()
    assert (mixed - wanted).abs().max() < 0.05 * scale
    assert (half - wanted).abs().max() < 0.05 * scale


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_the_runtime_chooses_a_form_and_never_other_numbers(name: str, kernels: str) -> None:
    network, images = network_and_images(name)
    other = create_model(network.spec, runtime=Runtime(kernels=kernels, channels_last=False)).eval()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        wanted = network(images)
        torch.testing.assert_close(other(images), wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
