"""The table of published weights says what timm says, and every row can be used."""

from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import timm.models
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from visiongraft.data.transforms import EvalTransform
from visiongraft.errors import UnknownModel, WeightsError
from visiongraft.families.zoo import customized, list_models
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing, normalize
from visiongraft.weights.convert import convert
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.sources import (
    _AUTHORS,
    UNKNOWN_LICENCE,
    WEIGHT_SETS,
    find_weight_sets,
    get_weight_set,
    names_weights,
    preprocessing_for,
    preprocessing_of,
)

FITS = {"crop": "center", "squash": "squash"}
NETWORKS = sorted(set(SOURCES["timm"]) & set(list_models()))


def test_the_table_holds_every_set_that_timm_publishes_for_the_networks_that_convert() -> None:
    published = [name for name in timm.list_pretrained() if name.partition(".")[0] in NETWORKS]
    assert sorted(each.name for each in WEIGHT_SETS) == sorted(published)


@pytest.mark.parametrize("row", WEIGHT_SETS, ids=lambda each: each.name)
def test_a_row_says_what_timm_says(row) -> None:
    theirs = timm.models.get_pretrained_cfg(row.name)
    assert row.network in NETWORKS
    assert row.repository == theirs.hf_hub_id
    assert theirs.hf_hub_filename is None  # so it is `hub.FILE`
    assert row.num_classes == theirs.num_classes
    assert row.licence == (theirs.license or UNKNOWN_LICENCE)
    assert row.claim is None or 0.5 < row.claim.top1 < row.claim.top5 < 1
    for ours, size, crop in (
        (row.preprocessing, theirs.input_size, theirs.crop_pct),
        (row.test, theirs.test_input_size, theirs.test_crop_pct),
    ):
        if size is None:
            assert ours is None
            continue
        assert (3, *ours.image) == size
        assert (ours.crop, ours.interpolation) == (crop, theirs.interpolation)
        assert (ours.mean, ours.std) == (theirs.mean, theirs.std)
        assert FITS[ours.fit] == theirs.crop_mode


@pytest.mark.parametrize(
    "row", {(row.network, row.num_classes): row for row in WEIGHT_SETS}.values(), ids=lambda row: row.name
)
def test_weights_of_the_shapes_that_timm_publishes_fit(row) -> None:
    spec = customized(row.network, num_classes=row.num_classes, image=row.preprocessing.image)
    with torch.device("meta"):
        theirs = timm.create_model(row.name).state_dict()
        ours = Network(spec).state_dict()
    found = convert(theirs, source="timm", name=spec)
    assert {name: each.shape for name, each in found.items()} == {name: each.shape for name, each in ours.items()}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_first_set_of_a_network_is_timms_own_default(network: str) -> None:
    theirs = timm.models.get_pretrained_cfg(network)
    ours = preprocessing_for(network)
    assert ours is not None
    assert (3, *ours.image) == theirs.input_size
    assert (ours.mean, ours.std, ours.crop) == (theirs.mean, theirs.std, theirs.crop_pct)
    assert (ours.interpolation, FITS[ours.fit]) == (theirs.interpolation, theirs.crop_mode)
    if theirs.has_weights:
        assert get_weight_set(network).name == timm.models.list_pretrained(f"{network}.{theirs.tag}")[0]


@pytest.mark.parametrize("name", ["coatnet_0_rw_224.sw_in1k", "coatnet_rmlp_2_rw_384.sw_in12k_ft_in1k"])
def test_images_are_prepared_as_timm_prepares_them(name: str, shared: Path) -> None:
    row = get_weight_set(name)
    theirs = create_transform(**resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict()))
    with Image.open(min((shared / "data" / "demo").glob("*.jpg"))) as file:
        image = file.convert("RGB").resize((640, 430))
    ours = normalize(EvalTransform(row.preprocessing)(image)[None], row.preprocessing)[0]
    assert torch.allclose(ours, theirs(image), atol=1e-6)
    wide = Image.fromarray(np.tile(np.linspace(0, 255, 1000).astype(np.uint8)[None, :, None], (300, 1, 3)))
    red = EvalTransform(row.preprocessing)(wide)[0].float()
    assert (red[:, 0].mean() < 5) == (row.preprocessing.fit == "squash"), "only squashing shows the left end"


def test_the_size_of_the_authors_tests_has_their_crop() -> None:
    for row in WEIGHT_SETS:
        assert row.preprocessing_at(row.preprocessing.image) == row.preprocessing
        assert row.preprocessing_at((320, 320)) == row.preprocessing.at((320, 320))
        if row.test is not None and row.test.image != row.preprocessing.image:
            assert row.preprocessing_at(row.test.image) == row.test


def test_sets_are_found_by_network_and_by_tag() -> None:
    assert [each.name for each in find_weight_sets("coatnet_2*")] == [
        "coatnet_2_rw_224.sw_in12k_ft_in1k",
        "coatnet_2_rw_224.sw_in12k",
    ]
    assert [each.name for each in find_weight_sets("COATNET_2*.sw_in12k")] == ["coatnet_2_rw_224.sw_in12k"]
    assert get_weight_set("CoAtNet_2_rw_224").tag == "sw_in12k_ft_in1k"
    assert get_weight_set("coatnet_2_rw_224.sw_in12k").num_classes == 11821


@pytest.mark.parametrize("name", ["coatnet_0_224", "coatnet_5_224", "coatnet_nano_cc_224", "botnet50"])
def test_a_network_without_published_weights_says_so(name: str) -> None:
    with pytest.raises(WeightsError, match=f"^No weights are published for {name}..*`graft list --pretrained` shows"):
        get_weight_set(name)


def test_a_network_whose_authors_keep_files_is_told_what_takes_them() -> None:
    with pytest.raises(WeightsError) as refused:
        get_weight_set("cotnet50")
    assert str(refused.value) == (
        "Weights of cotnet50 cannot be fetched. A file with them becomes ours with"
        " `graft convert FILE OUT.safetensors --from cotnet --model cotnet50`."
    )


def test_a_tag_behind_a_network_without_published_weights_is_to_be_left_out() -> None:
    with pytest.raises(UnknownModel) as refused:
        get_weight_set("convmixer_pico.a1")
    assert str(refused.value) == (
        "convmixer_pico has no published weights, and so none with the tag 'a1'. Leave out what is behind the dot."
    )


def test_an_unknown_tag_gets_the_known_ones() -> None:
    with pytest.raises(UnknownModel) as refused:
        get_weight_set("coatnet_rmlp_2_rw_224.sw_in2k")
    assert str(refused.value) == (
        "coatnet_rmlp_2_rw_224 has no published weights with the tag 'sw_in2k'. Did you mean 'sw_in12k' or 'sw_in1k'"
        " or 'sw_in12k_ft_in1k'? There are: sw_in12k_ft_in1k, sw_in1k, sw_in12k."
    )


def test_an_unknown_network_gets_near_ones() -> None:
    with pytest.raises(UnknownModel, match="No network is named 'coatnet_0_rv_224'. Did you mean 'coatnet_0_rw_224'"):
        get_weight_set("coatnet_0_rv_224.sw_in1k")


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("coatnet_0_rw_224", True),
        ("coatnet_0_rw_224.sw_in1k", True),
        ("coatnet_0_rw_224.no_such_tag", True),
        ("coatnet_0_rw_224.safetensors", False),
        ("coatnet_0_rw_224.sw_in1k.safetensors", False),
        ("./coatnet_0_rw_224", False),
        ("runs/coatnet_0_rw_224", False),
    ],
)
def test_names_are_told_from_files(text: str, is_name: bool) -> None:
    assert names_weights(text) == is_name


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
LISTING = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


AUTHORS = (
    ("cotne*", 224, 0.875, IMAGENET),
    ("se_cotnetd152", 256, 0.888, IMAGENET),
    ("se_cotnetd*", 224, 0.875, IMAGENET),
    ("convmixer_256_8*", 32, 1.0, CIFAR),
    ("convmixer_*", 224, 0.96, IMAGENET),
    ("botnet50_listing*_small", 32, 1.0, LISTING),
)
"""What each network, by the first pattern that it matches, is shown: side, crop, mean and deviation."""


def test_weights_on_no_hub_see_images_as_their_authors_code_prepares_them() -> None:
    assert set(_AUTHORS) == {
        *(name for source in ("cotnet", "convmixer") for name in SOURCES[source] if not name.endswith("_pico")),
        *SOURCES["pprp"],
    }
    for name in _AUTHORS:
        image, crop, statistics = next(rest for pattern, *rest in AUTHORS if fnmatchcase(name, pattern))
        assert _AUTHORS[name] == Preprocessing((image, image), *statistics, "bicubic", crop, "crop"), name
    assert preprocessing_for("botnet50_listing_small") == _AUTHORS["botnet50_listing_small"]
    assert preprocessing_for("botnet50_listing") is None


@pytest.mark.parametrize(
    ("weights", "image", "expected", "guessed"),
    [
        ("resnet50", (224, 224), ("bicubic", 0.95), True),  # the first row's; torchvision's weights have another
        ("resnet50.tv_in1k", (224, 224), ("bilinear", 0.875), False),
        ("resnet50.tv2_in1k", (224, 224), ("bilinear", 0.965), False),  # as their authors test
        ("resnet50.tv2_in1k", (176, 176), ("bilinear", 0.875), False),
        ("seresnet50", (224, 224), ("bicubic", 0.95), True),
        ("coatnet_0_rw_224", (192, 256), ("bicubic", 0.95), False),
        ("coatnet_2_rw_224", (224, 224), ("bicubic", 0.95), False),  # two sets, of one preprocessing
        ("coatnet_pico_rw_224", (224, 224), ("bicubic", 0.95), False),  # of no published weights, and yet known
        ("botnet50", (224, 224), ("bicubic", 0.875), True),
    ],
)
def test_what_images_go_through_is_called_a_guess_where_published_weights_differ(
    weights: str, image, expected, guessed: bool
) -> None:
    found, assumed = preprocessing_of(weights, image)
    assert (found.image, (found.interpolation, found.crop), assumed) == (image, expected, guessed)
