"""Every network takes images of any size."""

from dataclasses import replace

import pytest
import torch

from tests.networks import HUGE, KINDS, shallow
from visiongraft.errors import ImageSizeError
from visiongraft.families.zoo import create_model, get_spec, list_models
from visiongraft.network import Network
from visiongraft.spec import small_image

SIZES = [(96, 96), (160, 160), (224, 224), (256, 128), (320, 200), (512, 512), (101, 67)]


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_every_network_maps_any_size_to_the_grids_that_its_spec_foretells(name: str, mode: str) -> None:
    with torch.device("meta"):
        network = Network(shallow(name)).train(mode == "train")
        for image in SIZES:
            found = network.features(torch.empty(2, 3, *image))
            grids = tuple(tuple(maps.shape[2:]) for maps in found.values())
            assert grids == network.spec.grids(image)
            assert [maps.shape[1] for maps in found.values()] == network.feature_info.channels()


@pytest.mark.parametrize("name", KINDS)
def test_numbers_stay_finite_at_square_oblong_and_odd_sizes(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(shallow(name))
    network(torch.randn(2, 3, 101, 67)).square().sum().backward()
    assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in network.parameters())
    network.eval()
    with torch.no_grad():
        assert all(bool(network(torch.randn(1, 3, *image)).isfinite().all()) for image in [(64, 64), (128, 96)])


@pytest.mark.parametrize("name", KINDS)
def test_an_image_is_judged_alike_alone_and_in_company(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(shallow(name)).eval()
    images = torch.randn(3, 3, 80, 72)
    with torch.no_grad():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", list_models())
def test_the_smallest_size_works_and_one_pixel_less_is_refused_with_the_size(name: str) -> None:
    spec = shallow(name)
    with torch.device("meta"):
        network = Network(spec).eval()
        side = spec.smallest_image
        assert network(torch.empty(1, 3, side, side)).shape == (1, 5)
        if side > 1:
            with pytest.raises(
                ImageSizeError, match=f"needs at least {side}x{side} pixels, and got {side}x{side - 1}"
            ):
                network(torch.empty(1, 3, side, side - 1))


@pytest.mark.parametrize("name", [name for name in KINDS if name.startswith(("botnet", "coatnet"))])
def test_a_network_made_native_at_another_size_equals_itself_resized_on_the_fly(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(shallow(name)).eval()
    moved = network.at((160, 96))
    images = torch.randn(2, 3, 160, 96)
    with torch.no_grad():
        assert moved.spec.image == (160, 96)
        torch.testing.assert_close(moved(images), network(images))
    moved.load_state_dict(create_model(moved.spec).state_dict())  # its tables have the shapes of its spec


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
        network = Network(spec).eval()
        assert network(torch.empty(1, 1, 32, 32)).shape == (1, 5)
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


def test_no_network_of_the_numeric_tests_is_huge() -> None:
    for name in KINDS:
        with torch.device("meta"):
            assert sum(each.numel() for each in Network(get_spec(name)).parameters()) < HUGE
