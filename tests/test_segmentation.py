"""segmentation-models-pytorch builds its decoders on our networks, through timm."""

import pytest
import segmentation_models_pytorch as smp
import torch

import visiongraft.timm  # noqa: F401 - registers the zoo
from visiongraft.families.zoo import FAMILIES, list_models

UNETS = {
    # halves from 2 to 32 pixels a cell, as most backbones do
    "tu-vg_coatnet_pico": {},
    # begins at full size, as VGG does
    "tu-vg_botnet_pico": {"encoder_depth": 4, "decoder_channels": (64, 32, 16, 8)},
    # the same, with a stage less
    "tu-vg_botnet14_cifar": {"encoder_depth": 3, "decoder_channels": (32, 16, 8)},
}

FITTING = {(2, 4, 8, 16, 32), (1, 2, 4, 8, 16), (1, 2, 4, 8)}
"""Pixels per cell after the stem and each stage, of what the library takes: each map halves the one before."""


@pytest.mark.parametrize("image", [(64, 96), (128, 64)])
@pytest.mark.parametrize("encoder", UNETS)
def test_a_unet_on_our_network_learns_masks_of_the_images_size(encoder: str, image: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = smp.Unet(encoder, encoder_weights=None, in_channels=1, classes=3, **UNETS[encoder])
    images, masks = torch.randn(2, 1, *image), torch.randint(3, (2, *image))
    found = model(images)
    assert found.shape == (2, 3, *image)
    torch.nn.functional.cross_entropy(found, masks).backward()
    assert [key for key, each in model.named_parameters() if each.grad is None or not each.grad.isfinite().all()] == []
    assert model.encoder.model.stem[0].weight.grad.any()  # which learns through every map


@pytest.mark.parametrize("name", [specs[0].name for specs in FAMILIES.values()])
def test_the_first_of_each_family_is_taken_or_refused_for_its_strides(name: str) -> None:
    strides = {spec.name: spec.strides for specs in FAMILIES.values() for spec in specs}[name]
    with torch.device("meta"):
        if strides in FITTING:
            model = smp.Unet(f"tu-vg_{name}", encoder_weights=None, encoder_depth=4, decoder_channels=(64, 32, 16, 8))
            assert model.eval()(torch.empty(1, 3, 64, 64)).shape == (1, 1, 64, 64)
        else:
            with pytest.raises(ValueError, match="Unsupported model downsampling pattern"):
                smp.Unet(f"tu-vg_{name}", encoder_weights=None)


def test_most_networks_of_the_zoo_have_strides_that_fit() -> None:
    odd = [spec.name for specs in FAMILIES.values() for spec in specs if spec.strides not in FITTING]
    stays_on_a_grid = ("convmixer", "botnet_s1", "botnet_t", "coatnet_6", "coatnet_7", "coatnet_vit_rel")
    lacks_a_map = ("sebotnet33ts_256", "botnet20_lucidrains")  # of half of the image's size; of a 16th and less
    assert [name for name in odd if not name.startswith(stays_on_a_grid + lacks_a_map)] == []
    assert len(odd) < len(list_models()) / 3
