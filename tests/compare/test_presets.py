"""The ablations of the papers: each changes what its question is about, and nothing else."""

from dataclasses import replace

import pytest

from visiongraft.blocks.mixers import ContextualTransformer
from visiongraft.compare.presets import PRESETS, get_preset
from visiongraft.errors import GraftError
from visiongraft.network import Network
from visiongraft.spec import Backbone
from visiongraft.summary import summarize

STUDIES = ("botnet-position", "botnet-c5", "coatnet-layout", "non-local", "convmixer-patch-kernel", "cot-fusion")
SMALL = [f"{study}-pico" for study in STUDIES]


def test_every_study_of_the_papers_is_there_in_two_sizes() -> None:
    assert list(PRESETS) == [name for study in STUDIES for name in (study, f"{study}-pico")]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_study_compares_different_networks_of_different_names_at_one_size(preset) -> None:
    assert len({spec.name for spec in preset.specs}) == len(preset.specs) > 2
    assert len({replace(spec, name="") for spec in preset.specs}) == len(preset.specs)
    assert len({spec.image for spec in preset.specs}) == 1
    assert set(preset.words) == {spec.name for spec in preset.specs}
    assert set(preset.figures) <= set(preset.words)
    assert bool(preset.figures) == bool(preset.metric)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_study_is_small_at_64_pixels_and_works_at_32(name: str) -> None:
    for spec in PRESETS[name].specs:
        assert summarize(spec).params < 1.6e6
        assert summarize(spec).macs < 80e6
        assert spec.image == (64, 64)
        Network(spec.at(32))


def sizes(name: str) -> list[float]:
    return [summarize(spec).params for spec in PRESETS[name].specs]


@pytest.mark.parametrize("name", ["coatnet-layout", "coatnet-layout-pico"])
def test_the_layouts_are_of_equal_size_up_to_a_few_percent(name: str) -> None:
    found = sizes(name)
    assert max(found) / min(found) < 1.14


def test_the_sizes_of_the_fusion_study_are_the_papers() -> None:
    assert [round(each / 1e6, 1) for each in sizes("cot-fusion")] == [22.2, 17.1, 20.3, 20.3]


def stages_but_last(spec: Backbone) -> object:
    return spec.stem, spec.stages[:3], spec.head


@pytest.mark.parametrize("name", ["botnet-position-pico", "botnet-c5-pico", "botnet-c5", "botnet-position"])
def test_botnets_studies_change_the_last_stage_alone(name: str) -> None:
    assert len({stages_but_last(spec) for spec in PRESETS[name].specs}) == 1
    assert len({len(spec.stages[3].blocks) for spec in PRESETS[name].specs}) == 1


def test_the_small_fusion_study_changes_the_fusion_alone() -> None:
    mixers = [spec.stages[0].blocks[0].mixer for spec in PRESETS["cot-fusion-pico"].specs]
    assert mixers == [ContextualTransformer(fusion=each) for each in ("gate", "static", "dynamic", "sum")]


def test_convmixers_studies_change_patch_and_kernel_alone() -> None:
    for name in ("convmixer-patch-kernel", "convmixer-patch-kernel-pico"):
        alike = {(spec.stem.width, len(spec.stages[0].blocks)) for spec in PRESETS[name].specs}
        pairs = {(spec.stem.patch, spec.stages[0].blocks[0].kernel) for spec in PRESETS[name].specs}
        assert len(alike) == 1
        assert len(pairs) == len(PRESETS[name].specs)


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(GraftError, match=r"No preset is named 'botnet-positon'\. Did you mean 'botnet-position'"):
        get_preset("botnet-positon")
    assert get_preset("Cot-Fusion").name == "cot-fusion"
