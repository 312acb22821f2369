"""Every network takes images of any size."""

from dataclasses import replace
from functools import lru_cache, partial

import pytest
import torch
from torch import nn

from tests.networks import KINDS, SPEAKERS, awake, narrow, shallow, unwritten
from visiongraft.blocks.mixers import ContextualTransformerMixer
from visiongraft.blocks.positions import AxisVectors, CellVectors, PlaneBias, PlaneNetworkBias
from visiongraft.blocks.primitives import conv
from visiongraft.blocks.site import Runtime
from visiongraft.errors import ImageSizeError
from visiongraft.families.zoo import get_spec, list_models
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.spec import small_image
from visiongraft.weights.models import create_model

LARGE = (512, 512)
SIZES = [(96, 96), (160, 160), (224, 224), (256, 128), (320, 200), LARGE, (101, 67)]


def words(image: Grid) -> str:
    return f"{image[0]}x{image[1]}"


@pytest.mark.parametrize("name", list_models())
def test_every_network_maps_any_size_to_the_grids_that_its_spec_foretells(name: str) -> None:
    with torch.device("meta"):
        network = without_norms(Network(shallow(name)).eval())
    with torch.no_grad():
        for image in [(320, 200), LARGE, (101, 67)]:  # every kind of them is seen at all sizes below
            assert_foretold(network, network.features(torch.empty(2, 3, *image, device="meta")), image)


@lru_cache(maxsize=1)  # all sizes of a network come one after the other
def answering(name: str) -> Network:
    """Make a network that nobody changes."""
    return awake(narrow(name))


@lru_cache(maxsize=1)
def learning(name: str) -> Network:
    """Make a network of which nothing but statistics changes, which no gradient depends on."""
    return awake(narrow(name)).train()


def without_norms(network: Network) -> Network:
    """Leave out what changes no shape, and on the meta device takes longer than all the rest."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = nn.Identity().forward
    return network


def assert_foretold(network: Network, found: dict[str, torch.Tensor], image: Grid) -> None:
    assert tuple(tuple(maps.shape[2:]) for maps in found.values()) == network.spec.grids(image)
    assert [maps.shape[1] for maps in found.values()] == network.feature_info.channels()


@pytest.mark.parametrize("image", [image for image in SIZES if image != LARGE], ids=words)
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network_learns_at_any_size(name: str, image: Grid) -> None:
    assert_learns(name, image)


@pytest.mark.parametrize("name", SPEAKERS)
def test_every_choice_of_every_word_learns_at_a_large_size(name: str) -> None:
    assert_learns(name, LARGE)


def assert_learns(name: str, image: Grid) -> None:
    network = learning(name)
    network.zero_grad()
    torch.manual_seed(1)
    network(torch.randn(2, 3, *image)).square().sum().backward()
    for key, each in network.named_parameters():
        assert each.grad is not None, key
        assert each.grad.isfinite().all(), key
        # A bias before a normalisation is subtracted again and learns nothing. Everything else does.
        assert each.ndim == 1 or each.grad.any(), key


@pytest.mark.parametrize("image", SIZES, ids=words)
@pytest.mark.parametrize("name", KINDS)
def test_at_any_size_an_image_is_judged_alike_alone_in_company_natively_and_by_the_definitions(
    name: str, image: Grid
) -> None:
    network = answering(name)
    torch.manual_seed(1)
    images = torch.randn(2, 3, *image)
    with torch.no_grad():
        maps = network.features(images)
        assert_foretold(network, maps, image)
        wanted = network.forward_head(list(maps.values())[-1])
        assert wanted.isfinite().all()
        scale = float(wanted.abs().max())
        torch.testing.assert_close(network(images[1:]), wanted[1:], rtol=1e-3, atol=1e-4 * scale)
        native = network.at(image)
        with unwritten():
            plain = create_model(native.spec, runtime=Runtime(kernels="plain", channels_last=False)).eval()
        plain.load_state_dict(native.state_dict())  # its tables have the shapes of its spec
        torch.testing.assert_close(plain(images[:1]), wanted[:1], rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("name", KINDS)
def test_height_and_width_are_treated_alike(name: str) -> None:
    """A network whose weights are mirrored at the diagonal says of a mirrored image what it said of the image."""
    network = awake(narrow(name).at((256, 128)))
    mirrored = create_model(network.spec.at((128, 256))).eval()
    mirrored.load_state_dict(network.state_dict() | mirrored_weights(network))
    with torch.no_grad():
        for image in [(256, 128), (320, 200), (101, 67)]:
            images = torch.randn(1, 3, *image)
            wanted = network(images)
            found = mirrored(images.transpose(2, 3))
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def mirrored_weights(network: Network) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = {}
    for name, module in reversed(list(network.named_modules())):  # what holds others has the last word
        match module:
            case nn.Conv2d() | PlaneBias():
                key = f"{name}.table" if isinstance(module, PlaneBias) else f"{name}.weight"
                weights[key] = network.state_dict()[key].transpose(-1, -2)
            case AxisVectors() | CellVectors():
                weights |= {f"{name}.height": module.width, f"{name}.width": module.height}
            case PlaneNetworkBias():  # its inputs are the two offsets
                weights[f"{name}.hidden.weight"] = module.hidden.weight.flip(1)
            case ContextualTransformerMixer():  # the window's cells are channels here
                for key, weight in module.kernels.state_dict().items():
                    if key.startswith(("3.", "4.")):
                        window = weight.unflatten(0, (-1, 3, 3)).transpose(1, 2).flatten(0, 2)
                        weights[f"{name}.kernels.{key}"] = window
            case _:
                pass
    return weights


@pytest.mark.parametrize("name", list_models())
def test_the_smallest_size_works_and_one_pixel_less_is_refused_with_the_size(name: str) -> None:
    spec = shallow(name)
    with torch.device("meta"):
        network = without_norms(Network(spec).eval())
    side = spec.smallest_image
    with torch.no_grad():
        assert network(torch.empty(1, 3, side, side, device="meta")).shape == (1, 5)
        for image in [(side, side - 1), (side - 1, 500)] if side > 1 else []:
            with pytest.raises(ImageSizeError, match=f"needs at least {side}x{side} pixels, and got {words(image)}"):
                network(torch.empty(1, 3, *image, device="meta"))


@pytest.mark.parametrize("name", KINDS)
def test_the_smallest_size_gives_numbers_and_gradients(name: str) -> None:
    network = awake(narrow(name))
    images = torch.randn(3, 3, network.smallest_image, network.smallest_image)
    with torch.no_grad():
        wanted = network(images)
        assert wanted.isfinite().all()
        torch.testing.assert_close(network(images[:1]), wanted[:1], rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    network.train()(images).square().sum().backward()
    assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in network.parameters())


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("resnet50", 17),  # 9, 5, 3 and 2 cells: one pixel less leaves the last stage a single one to halve
        ("botnet50", 17),
        ("botnet_s1_50", 9),
        ("botnet_pico", 9),
        ("coatnet_0", 17),
        ("coatnet_6", 17),
        ("coatnet_vit_rel", 16),
        ("convmixer_1536_20", 7),
        ("convmixer_256_8_k9_p1", 1),
        ("cotnet50", 17),
        ("se_cotnetd152", 17),
    ],
)
def test_no_network_asks_for_larger_images_than_its_strides_need(name: str, side: int) -> None:
    assert get_spec(name).smallest_image == side


def test_a_strided_pointwise_convolution_of_few_channels_equals_that_of_pytorch() -> None:
    """Torch's own writes past its memory on the way back, so here it runs in another layout, which is safe."""
    layer = conv(8, 32, stride=2)
    images = torch.randn(2, 8, 37, 80)
    results = []
    for form, layout in ((layer, torch.channels_last), (partial(nn.Conv2d.forward, layer), torch.contiguous_format)):
        layer.zero_grad()
        maps = images.contiguous(memory_format=layout).requires_grad_()
        output = form(maps)
        output.square().sum().backward()
        results.append((output, maps.grad, layer.weight.grad.clone()))
    assert type(layer) is not nn.Conv2d
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_caller_keeps_its_network_when_a_copy_is_made_native_elsewhere() -> None:
    network = create_model("botnet_pico").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.at(96)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_tables_kept_in_eval_mode_follow_the_weights() -> None:
    torch.manual_seed(0)
    network = create_model("coatnet_pico", num_classes=5).eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        before = network(images)
        for name, each in network.named_parameters():
            if name.endswith("bias.table"):
                each.add_(torch.randn_like(each))
        after = network(images)
    assert not torch.allclose(before, after)
    fresh = create_model("coatnet_pico", num_classes=5).eval()
    fresh.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(after, fresh(images))


def test_gradients_reach_the_tables_at_a_foreign_size_even_in_eval_mode() -> None:
    network = create_model("botnet_pico", num_classes=5).eval()
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        network(images)
    for each in network.modules():
        if hasattr(each, "norm3"):
            torch.nn.init.ones_(each.norm3.weight)  # residual branches start silent, and would hide the gradient
    network(images).square().sum().backward()
    tables = [each for name, each in network.named_parameters() if "positions" in name]
    assert tables
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in tables)


@pytest.mark.parametrize("name", list_models())
def test_the_small_image_form_of_every_network_takes_32_pixels(name: str) -> None:
    spec = replace(small_image(shallow(name)), in_chans=1)
    with torch.device("meta"):
        network = without_norms(Network(spec).eval())
    with torch.no_grad():
        assert network(torch.empty(1, 1, 32, 32, device="meta")).shape == (1, 5)
    assert spec.strides[0] == 1
    assert all(stage.stride_in == "block" for stage in spec.stages)


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (torch.empty(2, 1, 64, 64), r"takes images of shape \(batch, 3, height, width\), and got \(2, 1, 64, 64\)"),
        (torch.empty(3, 64, 64), r"and got \(3, 64, 64\)"),
        (torch.empty(1, 3, 64, 64, dtype=torch.uint8), "takes floating-point images, and got torch.uint8"),
    ],
)
def test_what_is_no_batch_of_images_is_refused_in_words(images: torch.Tensor, text: str) -> None:
    with pytest.raises(ImageSizeError, match=text):
        create_model("resnet_pico")(images)
