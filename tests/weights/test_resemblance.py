"""Foreign weights that are not those of the network that was asked for are told what they are."""

import time

import pytest
import torch

import visiongraft as vg
from tests.weights.shapes import NANO, PICO, shapes
from visiongraft.errors import WeightsError
from visiongraft.families.zoo import get_spec
from visiongraft.spec import Backbone
from visiongraft.weights.convert import convert, fitting_form, laid_beside
from visiongraft.weights.models import create_model
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.prefixes import IN_A_BLOCK
from visiongraft.weights.renaming import Layout, Wanted, places, wanted_tensors
from visiongraft.weights.resemblance import resembling


@pytest.mark.parametrize(
    ("given", "asked", "text"),
    [
        (NANO, "coatnet_rmlp_nano_rw_224", f"These look like {NANO} weights: ask for {NANO!r}."),
        ("coatnet_rmlp_2_rw_384", "coatnet_2_224", "like coatnet_rmlp_2_rw_224 or coatnet_rmlp_2_rw_384 weights"),
    ],
)
def test_weights_of_another_network_are_refused_with_its_name(given: str, asked: str, text: str) -> None:
    with pytest.raises(WeightsError) as caught:
        convert(shapes(given), source="timm", name=asked)
    assert text in str(caught.value)


@pytest.mark.parametrize(("given", "asked"), [("cotnext50", "cotnet50"), ("cotnet50", "se_cotnetd50")])
def test_a_fine_tuned_cotnet_under_another_name_is_known_by_its_shapes(given: str, asked: str) -> None:
    with pytest.raises(WeightsError, match=f"These look like {given} weights: ask for '{given}'"):
        convert(shapes(given, "cotnet", num_classes=10), source="cotnet", name=asked)


def test_older_weights_of_another_network_are_known_without_their_counters() -> None:
    weights = {name: each for name, each in shapes("cotnet50", "cotnet").items() if "num_batches" not in name}
    with pytest.raises(WeightsError, match="These look like cotnet's cotnet50 weights: ask for 'cotnet50' from"):
        convert(weights, source="timm", name="resnet50")


def test_a_block_has_at_least_as_many_tensors_as_the_search_takes_it_to_have() -> None:
    blocks = {}
    for spec in map(get_spec, vg.list_models()):
        for sites, stage in zip(spec.sites(vg.Runtime()), spec.stages, strict=True):
            blocks.update({block: site for site, block in zip(sites, stage.blocks, strict=True)})
    assert len(blocks) > 20
    with torch.device("meta"):
        counts = {block: len(block.build(site).state_dict()) for block, site in blocks.items()}
    assert min(counts.values()) >= IN_A_BLOCK


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "net.", "_orig_mod.module.", "_orig_mod.model.encoder."])
def test_what_a_wrapper_put_before_every_name_is_taken_off(prefix: str) -> None:
    for source, name in (("timm", PICO), ("convmixer", "convmixer_pico")):
        plain = shapes(name, source, num_classes=5)
        weights = {f"{prefix}{key}": each for key, each in plain.items()}
        assert laid_beside(weights, source=source, name=name).prefix == prefix
        assert laid_beside(plain, source=source, name=name).prefix == ""
        form = fitting_form(weights, source=source, name=name)
        assert form.head.num_classes == 5
        assert convert(weights, source=source, name=form).keys() == create_model(form).state_dict().keys()


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("prefix", ["0.", "model.0."])
def test_a_wrapper_that_is_called_like_the_first_part_of_the_network_is_taken_off(prefix: str, way: int) -> None:
    spec = get_spec("convmixer_pico")
    plain = wanted_tensors(spec, SOURCES["convmixer"][spec.name].ways[way])
    weights = {f"{prefix}{key}": torch.empty(each.foreign_shape, device="meta") for key, each in plain.items()}
    assert laid_beside(weights, source="convmixer", name=spec).prefix == prefix
    assert convert(weights, source="convmixer", name=spec).keys() == create_model(spec).state_dict().keys()


def test_what_pytorchs_own_average_counts_is_left_out() -> None:
    network = create_model("convmixer_pico")
    plain = {key: torch.ones(each.shape) for key, each in shapes("convmixer_pico", "convmixer").items()}
    weights = {f"module.{key}": each for key, each in plain.items()} | {"n_averaged": torch.tensor(3)}
    network.load_state_dict(convert(weights, source="convmixer", name="convmixer_pico"))


def test_faults_of_wrapped_weights_say_that_they_are_told_without_the_prefix() -> None:
    weights = {f"model.{name}": each for name, each in shapes("convmixer_pico", "convmixer").items()}
    del weights["model.3.0.fn.0.weight"]
    with pytest.raises(WeightsError) as caught:
        convert(weights, source="convmixer", name="convmixer_pico")
    assert "convmixer_pico: '3.0.fn.0.weight' is missing." in str(caught.value)
    assert str(caught.value).endswith(" (Told without the prefix 'model.' that all names have.)")
    spoilt = {"model.0.bias": torch.full((256,), torch.nan)}
    whole = {f"model.{name}": each for name, each in shapes("convmixer_pico", "convmixer").items()}
    with pytest.raises(
        WeightsError, match=r"^'model\.0\.bias' of these weights for convmixer_pico holds numbers that"
    ):
        convert(whole | spoilt, source="convmixer", name="convmixer_pico")


def test_wrapped_weights_of_another_network_are_known_as_well() -> None:
    weights = {f"model.{name}": each for name, each in shapes(PICO).items()}
    with pytest.raises(WeightsError, match=f"These look like timm's {PICO} weights: ask for '{PICO}' from 'timm'"):
        convert(weights, source="convmixer", name="convmixer_pico")


@pytest.mark.parametrize("name", ["a." * 60 + "{}", "layer.{}.weight", "x{}"])
def test_names_that_nobody_knows_are_refused_in_seconds(name: str) -> None:
    began = time.process_time()
    with pytest.raises(WeightsError, match="are left over. They look like no network that is known here"):
        convert({name.format(index): torch.ones(1) for index in range(300)}, source="timm", name="resnet50")
    assert time.process_time() - began < 10  # where each place of each name was a string of its own: a minute


def test_names_deeper_than_any_network_are_refused_before_anything_is_searched_for() -> None:
    with pytest.raises(WeightsError) as caught:
        convert({"a." * 3000 + "w": torch.ones(1)}, source="timm", name="resnet50")
    assert str(caught.value) == (
        f"A state dict holds tensors by name, and {'a.' * 20!r}... names 3001 modules one in the other, where 64 at"
        " the most were expected. Give the state_dict() of a network."
    )


def test_no_source_names_parts_deeper_than_the_search_looks() -> None:
    ways = [(get_spec(name), way) for table in SOURCES.values() for name in table for way in table[name].ways]
    names = [part for spec, way in ways for part in (*way.parts(spec), *way.blocks(spec))]
    assert all([*places(name)][-1] == name for name in names)


def test_a_network_beside_other_things_is_told_where_it_lies() -> None:
    weights = {f"backbone.{name}": each for name, each in shapes(PICO, num_classes=0).items()}
    weights |= {f"neck.{index}.weight": torch.ones(3) for index in range(20)}
    with pytest.raises(WeightsError) as caught:
        convert(weights, source="timm", name=PICO)
    assert str(caught.value).endswith(
        " Their network seems to be what 'backbone' holds, among other things: take that out, with"
        " torch.save({name: each for name, each in STATE_DICT.items() if name.startswith('backbone.')}, NEW), where"
        " STATE_DICT is such as torch.load(FILE)['state_dict'], and give that."
    )


@pytest.mark.parametrize(
    ("place", "of", "source", "name"),
    [
        ("7", "botnet50_lucidrains", "lucidrains", "botnet50_lucidrains"),
        ("5", "botnet20_lucidrains", "lucidrains", "botnet50_lucidrains_absolute"),
        ("7.net.1", "botnet50_lucidrains", "lucidrains", "botnet50_lucidrains"),
        ("7", "botnet50_lucidrains", "timm", "resnet50"),
    ],
)
def test_a_part_of_a_network_is_told_where_it_belongs(place: str, of: str, source: str, name: str) -> None:
    whole = shapes(of, "lucidrains", image=320)
    part = {key.removeprefix(f"{place}."): each for key, each in whole.items() if key.startswith(f"{place}.")}
    with pytest.raises(WeightsError) as caught:
        convert(part, source=source, name=name)
    assert str(caught.value).endswith(
        f" These are weights of a part alone: {place!r} of lucidrains's {of}. Give those of the whole network, in"
        f" which each of these names has {place + '.'!r} before it."
    )


@pytest.mark.parametrize("prefix", ["bot.", "module.model.stack."])
def test_a_part_inside_something_is_told_where_it_belongs_and_what_goes_before(prefix: str) -> None:
    whole = shapes("botnet50_lucidrains", "lucidrains")
    part = {f"{prefix}{key[2:]}": each for key, each in whole.items() if key.startswith("7.")}
    with pytest.raises(WeightsError) as caught:
        convert(part, source="lucidrains", name="botnet50_lucidrains")
    assert str(caught.value).endswith(
        " These are weights of a part alone: '7' of lucidrains's botnet50_lucidrains. Give those of the whole network,"
        f" in which each of these names has '7.' before it, and not {prefix!r}."
    )


@pytest.mark.parametrize(
    ("weights", "source", "name", "most"),
    [
        ({f"layer.{index}.weight": torch.ones(1) for index in range(200)}, "cotnet", "cotnet50", 0),
        ({"x": torch.ones(1)}, "timm", "resnet50", 0),
        ({}, "timm", "resnet50", 0),
        ("coatnet_nano_rw_224", "cotnet", "cotnet50", 4),
        ("coatnet_nano_rw_224", "timm", "coatnet_1_rw_224", 4),
        ("resnet50", "timm", "resnet101", 4),
    ],
)
def test_what_weights_are_of_is_found_without_building_what_they_cannot_be_of(
    weights, source: str, name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = shapes(weights) if isinstance(weights, str) else weights
    built: list[str] = []

    def counting(spec: Backbone, layout: Layout) -> dict[str, Wanted]:
        built.append(spec.name)
        return wanted_tensors(spec, layout)

    monkeypatch.setattr("visiongraft.weights.faults.wanted_tensors", counting)
    with pytest.raises(WeightsError, match="These look like" if most else "They look like no network that is known"):
        convert(weights, source=source, name=name)
    assert len(built) - 1 <= most  # the one that was asked for is built in any case


def test_other_classes_and_another_image_size_do_not_count_in_what_weights_look_like() -> None:
    assert resembling(shapes(PICO, num_classes=5, image=256), SOURCES["timm"], below=1) == [PICO]


def test_weights_of_another_source_are_refused_with_its_name() -> None:
    with pytest.raises(
        WeightsError, match="These look like cotnet's cotnet50 weights: ask for 'cotnet50' from 'cotnet'"
    ):
        convert(shapes("cotnet50", "cotnet"), source="convmixer", name="convmixer_256_8")


def test_a_network_is_known_by_its_weights_at_any_image_size() -> None:
    with pytest.raises(WeightsError, match=f"These look like {PICO} weights: ask for '{PICO}'"):
        convert(shapes(PICO, image=(192, 256)), source="timm", name=NANO)
