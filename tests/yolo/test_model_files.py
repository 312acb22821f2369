"""Model files that name our mixers, and files that say what differs from one of Ultralytics'."""

import copy
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cloudpickle
import pytest
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.nn import tasks
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.callbacks import get_default_callbacks

import visiongraft.yolo as door
from visiongraft.blocks.site import Site
from visiongraft.errors import GraftError, SpecError
from visiongraft.vocabulary import register
from visiongraft.yolo.derive import derived

NAMES = [name.replace("yolo11", "yolo11n") for name in door.list_models()]
BASE = "yolo11n.yaml"


def small(rows: list[list], **more: object) -> dict:
    """Give a model of few channels: its rows 1 and 2 give 16, at a quarter and an eighth of the image."""
    backbone = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]]
    return {"nc": 2, "backbone": backbone, "head": [*rows, [[1, 2], 1, "Detect", ["nc"]]], **more}


def layers(model: nn.Module) -> list[door.MixerLayer]:
    return [each for each in model.modules() if isinstance(each, door.MixerLayer)]


def build(rows: list[list]) -> DetectionModel:
    return DetectionModel(small(rows), verbose=False)


def test_the_shipped_files_are_attention_and_cotnets_mixer_at_three_places() -> None:
    assert door.list_models() == [
        f"yolo11-{mixer}{place}.yaml" for mixer in ("cot", "mhsa") for place in ("-c2psa", "-neck", "")
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_keeps_what_its_base_computes_to_the_bit_until_it_learns(name: str) -> None:
    base, model = YOLO(BASE), YOLO(name)
    report = door.transfer(model, base)
    places = {"c2psa": 1, "neck": 3 if "cot" in name else 2}
    assert len(layers(model.model)) == places.get(name.removesuffix(".yaml").rpartition("-")[2], 1)
    new = [key for key in report.new if ".inserted." not in key]
    assert new == []
    if "c2psa" in name:
        assert report.kept == 457  # of 499: its own attention is gone
        return
    assert (report.kept, report.left) == (499, ())
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(model.model.eval()(images)[0], base.model.eval()(images)[0])


def test_every_size_letter_has_its_model() -> None:
    for letter, width in [("s", 512), ("x", 768)]:
        with torch.device("meta"):
            document = tasks.yaml_model_load(f"yolo11{letter}-mhsa.yaml")
        assert document["scale"] == letter
        found = door.door.with_sites(document, 3)["backbone"][-1]
        assert found[3][1:] == [width, (20, 20)]


def test_widths_and_grids_follow_from_the_rows_before() -> None:
    model = build([[1, 1, "GridAttention", [4]], [-1, 1, "GridAttention", {"heads": 2, "position": "absolute"}]])
    first, second = layers(model)
    assert (first.spelt, second.spelt) == ("GridAttention()", "GridAttention(heads=2, position='absolute')")
    assert first.inserted.mixer.positions.grid == (160, 160)  # a quarter of 640 pixels
    assert first.inserted.scale.gamma.shape == (16,)


def test_a_row_may_be_repeated_and_our_names_do_not_hide_those_of_ultralytics() -> None:
    model = build([[2, 2, "ContextualTransformer", []], [-1, 1, "Conv", [16, 1, 1]]])
    assert len(layers(model)) == 2
    assert type(model.model[4]).__module__.startswith("ultralytics.")


def test_the_same_seed_gives_the_same_weights_with_a_mixer_as_without() -> None:
    torch.manual_seed(0)
    plain = build([])
    torch.manual_seed(0)
    mixed = build([[1, 1, "NonLocal", []]])
    assert torch.equal(plain.model[2].conv.weight, mixed.model[2].conv.weight)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            [1, 1, "GridAttention", [5]],
            "Row 3 of the model file: GridAttention(heads=5) does not divide a width of 16.",
        ),
        ([1, 1, "GridAttention", [1024]], "The width follows from the layers before, and is no argument."),
        (
            [1, 1, "GridAttention", [{"head": 4}]],
            "takes no 'head'. Did you mean 'heads'? It takes heads, position, key",
        ),
        ([1, 1, "GridAttention", ["four"]], "The heads of a GridAttention cannot be 'four'. Expected int."),
        ([1, 1, "GridAttention", [4, "left"]], "The position of a GridAttention cannot be 'left'. Expected one of"),
        ([1, 1, "GridAttention", [4, "none", None, 7]], "takes heads, position, key_dim, and 4 arguments came."),
        ([[1, 2], 1, "GridAttention", [4]], "GridAttention takes the maps of one layer, not of [1, 2]."),
        (
            [1, 1, "GridAtention", [4]],
            "'GridAtention', which neither Ultralytics nor visiongraft has. Did you mean 'G",
        ),
        (
            [1, 1, "MHSA", [4]],
            "Row 3 of the model file names the layer 'MHSA', which neither Ultralytics nor visiongr",
        ),
        ([1, 1, "Conv2dNormActivation", [4]], "Mixers of visiongraft are "),
        (
            [-1, 1, "NonLocal"],
            "Row 3 of the model file has 3 entries. A row is [from, repeats, name, arguments], as [-1, 1, NonLoc",
        ),
    ],
)
def test_a_row_that_cannot_be_is_refused_in_one_line(row: list, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        build([row])
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_of_others_that_cannot_be_followed_are_said_to_be_so() -> None:
    with pytest.raises(SpecError, match=r"^The model file cannot be followed up to its row 4\. \w+: "):
        build([[0, 1, "nn.Conv2d", [3, 8, 1]], [-1, 1, "GridAttention", [4]]])


def test_what_stands_behind_a_row_is_taken_by_all_who_took_that_row() -> None:
    base = small([[-1, 1, "nn.Identity", []], [[-1, -2, 0], 1, "Concat", [1]]], kept=1)
    graft = [{"behind": 0, "mixer": "NonLocal()"}, {"instead_of": 1, "mixer": "GridAttention(heads=2)"}]
    found = derived(base, {"base": "x", "graft": graft, "nc": 7}, called="a.yaml")
    names = [row[2] for row in (*found["backbone"], *found["head"])]
    assert names == ["Conv", "NonLocal", "GridAttention", "Conv", "nn.Identity", "Concat", "Detect"]
    assert len(found["backbone"]) == 4
    assert [row[0] for row in found["head"]] == [-1, [-1, 3, 1], [2, 3]]
    assert (found["nc"], found["kept"], "graft" in found) == (7, 1, False)
    assert base == small([[-1, 1, "nn.Identity", []], [[-1, -2, 0], 1, "Concat", [1]]], kept=1)


def test_a_file_of_the_users_own_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "yolo11n-mine.yaml"
    path.write_text("base: yolo11.yaml\nnc: 3\ngraft:\n  - {behind: SPPF, mixer: 'GridAttention(heads=8)'}\n")
    document = tasks.yaml_model_load(path)
    assert (document["nc"], document["scale"], document["backbone"][10][2]) == (3, "n", "GridAttention")
    assert document["head"][-1][0] == [17, 20, 23]


@pytest.mark.parametrize(
    ("graft", "text"),
    [
        ([], "a.yaml has a base and grafts nothing."),
        (
            ["GridAttention"],
            "a graft is {behind: PLACE, mixer: MIXER} or {instead_of: PLACE, mixer: MIXER}, not 'GridA",
        ),
        ([{"behind": 1}], "a graft is {behind: PLACE"),
        ([{"behind": 9, "mixer": "NonLocal()"}], "the base has rows 0 to 3, and a mixer can be at 0 to 2, not 9."),
        ([{"behind": "Convv", "mixer": "NonLocal()"}], "no row of the base is at 'Convv'. Did you mean 'Conv'"),
        (
            [{"behind": 1, "mixer": "NonLokal()"}],
            "a.yaml: The vocabulary has no word 'NonLokal'. Did you mean 'NonLoc",
        ),
        ([{"behind": 1, "mixer": "5"}], "a.yaml: a mixer is written as GridAttention(heads=4)."),
        ([{"instead_of": 1, "mixer": "NonLocal()"}] * 2, "two mixers take the place of row 1."),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_in_one_line(graft: list, text: str) -> None:
    with pytest.raises(GraftError) as caught:
        derived(small([]), {"base": "x", "graft": graft}, called="a.yaml")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@register
@dataclass(frozen=True)
class Doubled:
    """A mixer of somebody's own."""

    self_normalised: ClassVar[bool] = False

    def build(self, site: Site) -> nn.Module:
        return nn.Conv2d(site.in_width, site.width, 1)


def test_a_mixer_of_the_users_own_is_named_like_ours_and_goes_along_to_other_processes() -> None:
    assert layers(build([[1, 1, "Doubled", []]]))[0].spelt == "Doubled()"
    carried = [
        each for each in get_default_callbacks()["on_pretrain_routine_start"] if "visiongraft" in repr(type(each))
    ]
    (only,) = carried
    _, (words,) = only.__reduce__()
    assert Doubled in words
    assert not any(each.__module__.startswith("visiongraft.") for each in words)
    assert pickle.loads(cloudpickle.dumps(only)) == only  # as Ultralytics sends it; words of other tests are in it too


NAMED = {
    "yolo11n-mhsa.yaml": {
        "visiongraft.blocks.mixers.GridAttentionMixer",
        "visiongraft.blocks.positions.AxisVectors",
        "visiongraft.blocks.primitives.ChannelNorm",
        "visiongraft.blocks.primitives.ChannelScale",
        "visiongraft.surgery.planting.Inserted",
        "visiongraft.yolo.layers.MixerLayer",
    },
    "yolo11n-cot.yaml": {
        "visiongraft.blocks.mixers.ContextualTransformerMixer",
        "visiongraft.blocks.primitives.Rectifier",
        "visiongraft.blocks.primitives.ChannelNorm",
        "visiongraft.blocks.primitives.ChannelScale",
        "visiongraft.surgery.planting.Inserted",
        "visiongraft.yolo.layers.MixerLayer",
    },
}
"""What checkpoints of Ultralytics hold by name. Files that people have stop loading where one of them is renamed."""


@pytest.mark.parametrize("name", NAMED)
def test_checkpoints_hold_these_classes_of_ours_by_name_and_no_others(name: str) -> None:
    network = YOLO(name).model
    found: list[str] = []
    said: list[str] = []
    for code, argument, _ in pickletools.genops(pickle.dumps(layers(network), protocol=2)):
        said.append(str(argument))
        if code.name == "GLOBAL":
            found.append(str(argument).replace(" ", "."))
    assert {each for each in found if each.startswith("visiongraft.")} == NAMED[name]


def test_what_was_looked_up_for_a_grid_does_not_go_into_copies() -> None:
    network = build([[1, 1, "GridAttention", [4]]]).eval()
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
    (layer,) = layers(network)
    assert layer.inserted.mixer.positions._kept
    assert not copy.deepcopy(layer).inserted.mixer.positions._kept
    assert not pickle.loads(pickle.dumps(layer)).inserted.mixer.positions._kept
