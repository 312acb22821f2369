"""Networks can be compiled without a graph break, exported at any size, and run in half precision."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch._inductor.config
from torch import Tensor, nn

from tests.networks import BRIEF, KINDS, PICOS, SPEAKERS, awake, narrow
from visiongraft.blocks.site import Runtime
from visiongraft.weights.models import create_model

SIDE = 64
SIZES = [(2, 3, SIDE, SIDE), (5, 3, 48, 80), (4, 3, 67, 37)]

WAY_BACK = "aot_eager_default_partitioner"
"""Records the way back as well, and keeps for it what it uses: to search for less to keep takes a fifth longer."""


@pytest.fixture
def without_cache() -> Iterator[None]:
    """Have shapes worked out where they are needed: with formulas in place of sizes, to look them up takes longer."""
    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        yield


def results(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Give the logits, and the gradients with the statistics that a step leaves behind, all by name."""
    network.zero_grad()
    logits = network(images)
    logits.square().sum().backward()
    gradients = {name: each.grad.clone() for name, each in network.named_parameters()}
    return logits.detach(), gradients | {name: each.clone() for name, each in network.named_buffers()}


def undropped(network: nn.Module) -> nn.Module:
    """Drop nothing: a compiled graph draws other numbers than the network that it was made of."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def assert_same(
    found: tuple[Tensor, dict[str, Tensor]], wanted: tuple[Tensor, dict[str, Tensor]], prefix: str = ""
) -> None:
    """Compare results in float64, where only a wrong form differs by more than rounding does."""
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-9, atol=1e-9)
    largest = max(float(each.abs().max()) for each in wanted[1].values())
    for name, each in wanted[1].items():
        torch.testing.assert_close(
            found[1][prefix + name],
            each,
            rtol=1e-9,
            atol=1e-11 * largest,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network_is_one_graph_that_trains_alike(name: str) -> None:
    """Every choice of every word has its way back recorded as well, which takes as long again, in one of the kinds."""
    torch._dynamo.reset()
    network = undropped(awake(BRIEF[name]).double().train())
    state = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(SIZES[0], dtype=torch.float64)
    wanted = results(network, images)
    network.load_state_dict(state)
    compiled = torch.compile(network, fullgraph=True, backend=WAY_BACK if name in SPEAKERS else "eager")
    assert_same(results(compiled, images), wanted, prefix="_orig_mod.")


@pytest.mark.usefixtures("without_cache")
@pytest.mark.parametrize("name", PICOS)
def test_one_graph_of_every_family_trains_at_all_sizes(name: str) -> None:
    torch._dynamo.reset()
    network = awake(narrow(name)).double().train()
    graphs = []

    def as_recorded(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(network, fullgraph=True, backend=as_recorded, dynamic=True)
    for shape in reversed(SIZES):  # first one whose sides differ, since equal ones would be recorded as one number
        images = torch.randn(shape, dtype=torch.float64)
        state = {key: value.clone() for key, value in network.state_dict().items()}
        wanted = results(network, images)
        network.load_state_dict(state)
        assert_same(results(compiled, images), wanted, prefix="_orig_mod.")
    assert len(graphs) == 1


@pytest.mark.usefixtures("without_cache")
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network_is_exported_once_for_all_sizes(name: str) -> None:
    network = awake(BRIEF[name]).double()
    # One graph holds for every size that leaves the last stage more than one cell along each axis.
    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=33), 3: torch.export.Dim("width", min=33)}
    with torch.no_grad():
        exported = torch.export.export(
            network,
            (torch.randn(SIZES[0], dtype=torch.float64),),
            dynamic_shapes=(sides,),
            prefer_deferred_runtime_asserts_over_guards=True,
        ).module()
        for shape in [*SIZES, (1, 3, 33, 70)]:
            images = torch.randn(shape, dtype=torch.float64)
            torch.testing.assert_close(exported(images), network(images), rtol=1e-9, atol=1e-9)


@torch._inductor.config.patch(compile_threads=1)  # others are processes, which would import PyTorch first
def test_a_hybrid_compiled_to_machine_code_gives_the_same_logits_and_gradients() -> None:
    torch._dynamo.reset()
    whole = narrow("coatnet_pico")
    stages = tuple(replace(stage, blocks=stage.blocks[:1]) for stage in whole.stages[1:3])
    network = awake(replace(whole, stages=stages)).train()
    assert [type(block).__name__ for stage in stages for block in stage.blocks] == ["MBConv", "RelativeTransformer"]
    state = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(SIZES[0])
    wanted = results(network, images)
    network.load_state_dict(state)
    found = results(torch.compile(network, fullgraph=True), images)
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-4, atol=1e-4)
    for key, each in wanted[1].items():
        torch.testing.assert_close(found[1][f"_orig_mod.{key}"], each, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_every_block_stays_near_float32_in_half_precision_and_under_autocast(name: str) -> None:
    """Each block sees the input that it has in float32: over a whole network the roundings of all blocks add up."""
    network = awake(BRIEF[name])
    inputs = torch.randn(SIZES[0])
    head = torch.nn.Sequential(network.head.cell_hidden, network.head)  # in which order the network calls them
    for module in (network.stem, *(block for stage in network.stages for block in stage), head):
        wanted, gradients = forward_and_backward(module, inputs)
        mixed = forward_and_backward(module, inputs, autocast=True)
        half = forward_and_backward(copy.deepcopy(module).bfloat16(), inputs.bfloat16())
        assert half[0].dtype == torch.bfloat16
        for outputs, found in (mixed, half):
            assert distance(outputs, wanted) < 0.08
            assert distance(found, gradients) < 0.4  # a number near zero, rounded, falls on a ReLU's other side
        inputs = wanted.detach()


def forward_and_backward(module: nn.Module, inputs: Tensor, *, autocast: bool = False) -> tuple[Tensor, Tensor]:
    """Give the outputs, and the gradients of inputs and weights in one row."""
    module.zero_grad()
    inputs = inputs.detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs = module(inputs)
    upstream = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1))
    outputs.backward(upstream.to(outputs.dtype))
    return outputs, torch.cat([each.grad.float().flatten() for each in (inputs, *module.parameters())])


def distance(found: Tensor, wanted: Tensor) -> float:
    return float((found.detach() - wanted.detach()).norm() / wanted.detach().norm())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("form", ["half", "autocast"])
def test_every_kind_of_network_trains_in_half_precision(name: str, form: str) -> None:
    network, images = awake(narrow(name)).train(), torch.randn(SIZES[0])
    if form == "half":
        network, images = network.bfloat16(), images.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=form == "autocast"):
        logits = network(images)
    logits.float().square().sum().backward()
    assert logits.isfinite().all()
    assert all(each.grad.isfinite().all() and each.grad.dtype == each.dtype for each in network.parameters())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_the_runtime_chooses_a_form_and_never_other_numbers(name: str, kernels: str) -> None:
    network = awake(narrow(name)).double()
    other = create_model(network.spec, runtime=Runtime(kernels=kernels, channels_last=False)).double().eval()
    other.load_state_dict(network.state_dict())
    images = torch.randn(SIZES[0], dtype=torch.float64)
    assert_same(results(other, images), results(network, images))
