"""With the same weights, ours and the original are the same function: outputs, gradients and statistics."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.parity.lucidrains import BottleStack
from tests.parity.originals import (
    COSTLY,
    LARGE,
    NATIVE,
    ORIGINALS,
    WIDE,
    Original,
    affordable,
    difference,
    for_training,
    logits,
    params,
    photographs,
    reduced,
    training_step,
)
from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.stems import PatchStem
from visiongraft.families.zoo import get_spec
from visiongraft.network import Network
from visiongraft.weights.convert import convert
from visiongraft.weights.origins import SOURCES

# Of the authors' ConvMixers with even kernels. It cannot be avoided: their state dicts have no place for a padding.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


def test_every_network_whose_weights_convert_has_its_original_here() -> None:
    table = {(source, whole(name)) for source, layouts in SOURCES.items() for name in layouts}
    assert {(each.source, whole(each.name)) for each in ORIGINALS} == table


def test_of_the_costly_networks_one_of_each_family_and_kind_of_position_is_compared_at_its_own_size() -> None:
    costly = [each for each in ORIGINALS if COSTLY < params(get_spec(each.name)) <= LARGE and not is_repeated(each)]
    assert {kind(each) for each in costly} == {kind(each) for each in costly if each.name in NATIVE}
    forms = {each.name: affordable(each) for each in costly if each.name in NATIVE}
    assert {name: spec.image for name, spec in forms.items()} == {name: get_spec(name).image for name in NATIVE}
    assert all(params(spec) == params(get_spec(name)) for name, spec in forms.items() if max(spec.image) <= WIDE)


def is_repeated(original: Original) -> bool:
    """Tell whether a network is compared in a form of two blocks in a stage, since its blocks repeat."""
    return original.source in ("convmixer", "cotnet", "lucidrains") or isinstance(
        get_spec(original.name).stem, PatchStem
    )


def kind(original: Original) -> tuple[object, ...]:
    """Give the family that a network is of, as it is built anew here, and the kinds of positions that it has."""
    with torch.device("meta"):
        modules = Network(get_spec(original.name)).modules()
    return original.build, frozenset(type(each) for each in modules if isinstance(each, PositionTables))


def whole(name: str) -> str:
    """Give the name of the network itself where it is that of its form for small images, whose blocks are the same."""
    return name.removesuffix("_small")


EACH = pytest.mark.parametrize("original", ORIGINALS, ids=lambda each: f"{each.name}-{each.build.__name__}")


@EACH
def test_logits_equal_the_originals_on_photographs(original: Original, shared: Path) -> None:
    spec = affordable(original)
    images = photographs(shared, spec.image, 2)
    wanted, found = logits(*original.pair(spec, images), images)
    assert difference(found, wanted) <= 1e-4
    assert difference(found[:1], wanted[1:]) > 1e-2  # another photograph is another answer


@EACH
def test_one_step_of_training_has_the_originals_gradients_and_statistics(original: Original, shared: Path) -> None:
    spec = for_training(affordable(original))
    wanted, found, statistics = training_step(original, spec, photographs(shared, spec.image, 4))
    largest = max(float(each.abs().max()) for each in wanted.values())
    for name, each in found.items():
        # What cannot change the loss, such as a bias in front of a normalisation, has a gradient of nothing but
        # rounding: below 3e-7 of the largest, where all others were above 4e-4.
        assert (each - wanted[name]).abs().max() <= 1e-3 * wanted[name].abs().max() + 5e-7 * largest, name
    for theirs, ours in statistics:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def hidden_settings(network: nn.Module) -> Counter[tuple[object, ...]]:
    """Count what weights and a few photographs hardly tell: epsilons, momenta of statistics, and dropout."""
    found: Counter[tuple[object, ...]] = Counter()
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d):
            found["batch", each.num_features, each.eps, each.momentum] += 1
        elif isinstance(each, nn.GroupNorm):
            found["group", each.num_groups, each.num_channels, each.eps] += 1
        elif isinstance(each, nn.LayerNorm):
            found["layer", each.normalized_shape, each.eps] += 1
        elif isinstance(each, nn.Dropout) and each.p:
            found["dropout", each.p] += 1
    return found


@EACH
def test_epsilons_momenta_and_dropout_are_the_originals(original: Original) -> None:
    spec = get_spec(original.name)
    with torch.device("meta"):
        theirs = original.build(spec)
        assert hidden_settings(Network(spec)) == hidden_settings(theirs)
    convert(theirs.state_dict(), source=original.source, name=spec)  # in full depth and width, without numbers


@pytest.mark.parametrize(
    "name",
    [
        "coatnet_0_224",
        "coatnet_0_rw_224",
        "coatnet_bn_0_rw_224",
        "coatnext_nano_rw_224",
        "botnet26t_256",
        "botnet50_listing",
        "botnet50_listing_1head",
    ],
)
def test_stored_positions_equal_the_originals_on_an_oblong_grid(name: str, shared: Path) -> None:
    original = next(each for each in ORIGINALS if each.name == name)
    spec = reduced(get_spec(name), depth=2).at((96, 160))
    images = photographs(shared, spec.image, 2)
    wanted, found = logits(*original.pair(spec, images), images)
    assert difference(found, wanted) <= 1e-4


@pytest.mark.parametrize("name", ["coatnet_rmlp_nano_rw_224", "coatnet_rmlp_1_rw_224"])
def test_computed_positions_need_no_native_size_to_equal_the_originals(name: str, shared: Path) -> None:
    original = next(each for each in ORIGINALS if each.name == name)
    spec = reduced(get_spec(name), depth=2)
    _, ours = original.pair(spec)
    theirs, _ = original.pair(spec.at((160, 96)))  # the same numbers, since positions store none
    images = photographs(shared, (160, 96), 2)
    with torch.no_grad():
        wanted = theirs.eval()(images)
        assert difference(ours.eval()(images), wanted) <= 1e-4
        assert difference(ours.at((160, 96))(images), wanted) <= 1e-4


KEY_LISTS = {
    "cotnet50": "keys_official_cotnet50.json",
    "cotnext50": "keys_official_cotnext50_2x48d.json",
    "se_cotnetd50": "keys_official_se_cotnetd_50.json",
}


@pytest.mark.parametrize("name", KEY_LISTS)
def test_rebuilt_originals_have_the_names_and_shapes_of_the_official_checkpoints(name: str, shared: Path) -> None:
    published = json.loads((shared / "facts" / KEY_LISTS[name]).read_text())
    with torch.device("meta"):
        rebuilt = next(each for each in ORIGINALS if each.name == name).build(get_spec(name))
    assert {key: list(each.shape) for key, each in rebuilt.state_dict().items()} == published


def test_the_rebuilt_stack_of_lucidrains_has_its_names_and_shapes(shared: Path) -> None:
    published = json.loads((shared / "facts" / "keys_lucidrains_bottlestack.json").read_text())
    with torch.device("meta"):
        rebuilt = BottleStack(1024, (14, 14), relative=True)
    assert {key: list(each.shape) for key, each in rebuilt.state_dict().items()} == published
