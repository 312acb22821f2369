"""Specs are values: they round-trip through JSON, refuse what is none, and differ only where they say so."""

import json
from collections.abc import Iterable
from dataclasses import FrozenInstanceError, dataclass, is_dataclass, replace
from typing import ClassVar, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from torch import nn

import visiongraft
from tests.networks import BRIEF, KINDS, PICOS, SPEAKERS, choices_of, narrow, parts, words_of
from visiongraft import vocabulary
from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.convmixer import ConvMixerBlock
from visiongraft.blocks.convnext import ConvNeXt
from visiongraft.blocks.head import Head
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.mixers import BlurAfter, ContextualTransformer, Conv, GridAttention
from visiongraft.blocks.non_local import NonLocal
from visiongraft.blocks.primitives import SqueezeExcite
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.site import Block, Mixer, Site
from visiongraft.blocks.stems import PatchStem, ResNetStem
from visiongraft.errors import ImageSizeError, SpecError, UnknownModel
from visiongraft.families.resnet import with_non_local
from visiongraft.families.zoo import FAMILIES, get_spec, list_models
from visiongraft.network import Network
from visiongraft.spec import Backbone, Stage
from visiongraft.summary import summarize
from visiongraft.vocabulary import decode, encode, register
from visiongraft.weights.models import create_model


@pytest.mark.parametrize("name", list_models())
def test_every_spec_survives_json(name: str) -> None:
    spec = get_spec(name)
    assert Backbone.from_json(spec.to_json()) == spec


def test_every_word_of_every_spec_keeps_its_protocol() -> None:
    for name in list_models():
        for stage in get_spec(name).stages:
            for block in stage.blocks:
                assert isinstance(block, Block)
                assert not isinstance(block, Bottleneck) or isinstance(block.mixer, Mixer)


def test_the_kinds_that_the_contract_is_tested_with_speak_every_word_with_every_choice() -> None:
    spoken = [word for name in KINDS for word in words_of(narrow(name))]
    vocabulary = {word for word in vars(visiongraft).values() if is_dataclass(word) and hasattr(word, "build")}
    assert vocabulary | {Backbone, Stage, SqueezeExcite} <= {type(word) for word in spoken}
    chosen: dict[object, set[object]] = {}
    for word in spoken:
        for field, annotation in get_type_hints(type(word)).items():
            if get_origin(annotation) is Literal:
                chosen.setdefault(annotation, set()).add(getattr(word, field))
    assert len(chosen) >= 7
    assert all(choices == set(get_args(annotation)) for annotation, choices in chosen.items()), chosen


def test_the_speakers_that_costly_checks_are_made_with_have_every_word_choice_and_family() -> None:
    assert said(BRIEF[name] for name in SPEAKERS) == said(get_spec(name) for name in list_models())
    in_places = set().union(*(choices_of(narrow(name)) for name in list_models()))
    assert set().union(*(choices_of(BRIEF[name]) for name in SPEAKERS)) == in_places
    assert set(SPEAKERS) <= set(KINDS)
    assert set(PICOS) <= set(SPEAKERS)


def said(specs: Iterable[Backbone]) -> set[object]:
    """Give each word, and each of its choices that has a name."""
    found: set[object] = set()
    for word in (word for spec in specs for word in words_of(replace(spec, name=""))):
        found.add(type(word))
        found |= {(type(word), key, value) for key, value in vars(word).items() if isinstance(value, str)}
    return found


def test_the_kinds_that_the_contract_is_tested_with_have_every_part_of_the_zoo() -> None:
    everything = set().union(*(parts(narrow(name)) for name in list_models()))
    assert set().union(*(parts(narrow(name)) for name in KINDS)) == everything
    assert set().union(*(parts(spec) for spec in BRIEF.values())) == everything


def test_botnet50_differs_from_resnet50_only_in_its_last_stage() -> None:
    plain, attending = get_spec("resnet50"), get_spec("botnet50")
    assert attending.stem == plain.stem
    assert attending.stages[:3] == plain.stages[:3]
    assert [type(block.mixer) for block in attending.stages[3].blocks] == [GridAttention] * 3


@pytest.mark.parametrize(
    ("name", "mixers"), [("botnet50_001", "CCG"), ("botnet50_011", "CGG"), ("botnet50_111", "GGG")]
)
def test_a_botnet_names_which_blocks_of_its_last_stage_attend(name: str, mixers: str) -> None:
    assert "".join(type(block.mixer).__name__[0] for block in get_spec(name).stages[3].blocks) == mixers


def test_the_position_ablation_changes_the_position_and_nothing_else() -> None:
    base = get_spec("botnet50")
    for suffix, position in {
        "content": "none",
        "relative": "relative_only",
        "content_relative": "relative",
        "content_absolute": "absolute",
    }.items():
        spec = get_spec(f"botnet50_{suffix}")
        assert spec.stages[3].blocks[0].mixer == GridAttention(heads=4, position=position)
        assert spec.stages[:3] == base.stages[:3]


def test_the_fusion_study_changes_the_fusion_in_every_block_and_has_the_papers_sizes() -> None:
    base = get_spec("cotnet50")
    for suffix, fusion, millions in (
        ("static", "static", 17.1),
        ("dynamic", "dynamic", 20.3),
        ("linear", "sum", 20.3),
    ):
        spec = get_spec(f"cotnet50_{suffix}")
        mixers = {block.mixer for stage in spec.stages for block in stage.blocks}
        assert mixers == {ContextualTransformer(fusion=fusion)}
        assert [len(stage.blocks) for stage in spec.stages] == [len(stage.blocks) for stage in base.stages]
        assert round(summarize(spec).params / 1e6, 1) == millions


@pytest.mark.parametrize("stride", [1, 2])
def test_without_a_gate_the_contexts_are_added_and_each_alone_is_one_of_the_two(stride: int) -> None:
    site = Site(32, 32, stride, (8, 8))
    both, static, dynamic = (
        ContextualTransformer(fusion=fusion).build(site).eval() for fusion in ("sum", "static", "dynamic")
    )
    dynamic.load_state_dict(both.state_dict())
    convolution, normalisation, _ = list(static)[1:]
    convolution.load_state_dict(both.key[0].state_dict())
    normalisation.load_state_dict(both.key[1].state_dict())
    maps = torch.randn(2, 32, 8, 8)
    torch.testing.assert_close(both(maps), static(maps) + dynamic(maps))
    assert static(maps).abs().max() > 0 and dynamic(maps).abs().max() > 0


def test_se_cotnetd_alternates_in_its_third_stage_from_a_contextual_block_on() -> None:
    kinds = [type(block.mixer).__name__ for block in get_spec("se_cotnetd50").stages[2].blocks]
    assert kinds == ["ContextualTransformer", "GatedConv"] * 3


def test_coatnets_heads_have_the_papers_widths() -> None:
    def head_dims(name: str) -> set[int]:
        blocks = (block for stage in get_spec(name).stages for block in stage.blocks)
        return {block.head_dim for block in blocks if isinstance(block, RelativeTransformer)}

    assert [head_dims(f"coatnet_{index}") for index in range(8)] == [{32}] * 5 + [{64}] + [{128}] * 2


def test_stochastic_depth_grows_from_zero_to_its_peak() -> None:
    network = create_model("resnet_pico", drop_path=0.3)
    rates = [module.rate for module in network.modules() if hasattr(module, "rate")]
    assert rates == pytest.approx([0.0, 0.06, 0.12, 0.18, 0.24, 0.3])


def test_a_spec_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        get_spec("resnet50").drop_path = 0.5


def test_names_are_listed_by_pattern_and_grouped_by_family() -> None:
    cotnets = (*FAMILIES["cotnet"], *FAMILIES["listings"])
    assert list_models("cot*") == [spec.name for spec in cotnets if spec.name.startswith("cot")]
    assert list_models("*NEXT50") == ["cotnext50"]
    assert sum(len(specs) for specs in FAMILIES.values()) == len(list_models())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownModel, match=r"No network is named 'botnet5'\. Did you mean 'botnet50'"):
        get_spec("botnet5")


def test_timm_like_arguments_change_the_network_and_leave_the_zoo_alone() -> None:
    model = create_model("coatnet_pico", num_classes=7, in_chans=1, image=(96, 64), drop_path=0.1, dropout=0.2)
    assert model(torch.randn(2, 1, 80, 80)).shape == (2, 7)
    assert model.spec.image == (96, 64)
    assert get_spec("coatnet_pico").in_chans == 3


def test_a_network_without_a_classifier_gives_features_and_can_be_given_one() -> None:
    model = create_model("botnet_pico", num_classes=0)
    images = torch.randn(2, 3, 64, 64)
    assert model(images).shape == (2, model.num_features)
    model.reset_classifier(4)
    assert model(images).shape == (2, 4)
    assert model.get_classifier().out_features == 4
    assert Backbone.from_json(model.spec.to_json()).head.num_classes == 4


def test_head_and_features_together_are_the_whole_network() -> None:
    torch.manual_seed(0)
    model = create_model("coatnet_pico", num_classes=3).eval()
    images = torch.randn(2, 3, 64, 64)
    maps = model.forward_features(images)
    torch.testing.assert_close(model.forward_head(maps), model(images))
    torch.testing.assert_close(model.get_classifier()(model.forward_head(maps, pre_logits=True)), model(images))
    torch.testing.assert_close(model.features(images)["stage4"], maps)


def test_feature_extraction_gives_the_chosen_maps_with_their_widths_and_strides() -> None:
    model = create_model("botnet_pico", features_only=True, out_indices=(1, -1))
    maps = model(torch.randn(1, 3, 64, 64))
    assert [each.shape[1] for each in maps] == model.feature_info.channels() == [64, 512]
    assert [64 // each.shape[2] for each in maps] == model.feature_info.reduction() == [2, 16]
    assert not [name for name, _ in model.named_parameters() if "head" in name]
    with pytest.raises(SpecError, match=r"has feature maps 0 to 4, and out_indices asks for \(7,\)"):
        create_model("botnet_pico", features_only=True, out_indices=(7,))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda spec: spec | {"format": "visiongraft.spec/9"},
            "is of format 'visiongraft.spec/9'; this version reads",
        ),
        (lambda spec: spec | {"kind": "Backbon"}, "has no word 'Backbon'. Did you mean 'Backbone'"),
        (lambda spec: spec | {"colour": 1}, "description of a Backbone has missing or unknown keys: colour"),
        (lambda spec: {key: spec[key] for key in spec if key != "stem"}, "missing or unknown keys: stem"),
        (lambda spec: spec | {"image": [224]}, "The image of a Backbone cannot be (224,). Expected tuple[int, int]."),
        (lambda spec: spec | {"stages": 3}, "The stages of a Backbone cannot be 3."),
        (lambda spec: spec | {"stem": spec["head"]}, "The stem of a Backbone cannot be Head("),
        (lambda spec: spec | {"in_chans": 3.0}, "The in_chans of a Backbone cannot be 3.0. Expected int."),
        (
            lambda spec: spec | {"stem": spec["stem"] | {"act": "swish"}},
            "The act of a ResNetStem cannot be 'swish'. Expected one of 'relu', 'silu', 'gelu'.",
        ),
        (lambda spec: spec["stem"] | {"format": spec["format"]}, "must describe a Backbone, not 'ResNetStem'"),
    ],
)
def test_a_document_that_describes_no_network_is_refused_in_words(change, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        Backbone.from_dict(change(get_spec("resnet50").to_dict()))
    assert text in str(caught.value)


LATER = {
    "MBConv": {"base", "act_after", "squeeze_at", "pool", "out_bias"},
    "RelativeTransformer": {"position", "pool", "widen_at", "norm", "scale", "shortcut_bias"},
    "Bottleneck": {"squeeze_at"},
    "GridAttention": {"key_dim"},
    "DeepStem": {"stride"},
    "Head": {"norm_of", "cell_hidden"},
}
"""Choices that words did not have at first."""


@pytest.mark.parametrize("name", ["coatnet_0", "botnet50", "se_cotnetd50"])
def test_a_description_from_before_a_choice_existed_means_its_default(name: str) -> None:
    def earlier(value):
        if isinstance(value, list):
            return [earlier(each) for each in value]
        if not isinstance(value, dict):
            return value
        later = LATER.get(value.get("kind"), ())
        return {key: earlier(each) for key, each in value.items() if key not in later}

    document = get_spec(name).to_dict()
    assert earlier(document) != document
    assert Backbone.from_dict(earlier(document)) == get_spec(name)


@pytest.mark.parametrize("text", ["", "[1]", '"resnet50"', "{"])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="network description must be"):
        Backbone.from_json(text)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Stage(64, 3, (Bottleneck(),)), "stride 1 or 2, not 3"),
        (lambda: Stage(64, 1, ()), "needs at least one block"),
        (lambda: Backbone("none", ResNetStem(), ()), "none has no stages"),
        (lambda: replace(get_spec("resnet50"), drop_path=1.0), r"a probability in \[0, 1\), not 1.0"),
        (lambda: create_model("resnet_pico", in_chans=0), "in_chans is 0"),
        (lambda: BlurAfter(Conv()), "a mixer with a normalisation of its own, not Conv"),
        (lambda: with_non_local(get_spec("resnet50"), 5, 1, name="x"), "no block 1 in a stage 5"),
        (lambda: build(Bottleneck(GridAttention(heads=5)), 64), r"heads=5\) does not divide a width of 16.*such as 4"),
        (lambda: build(RelativeTransformer(head_dim=48), 64), r"head_dim=48\) does not divide a width of 64"),
        (lambda: build(Bottleneck(ContextualTransformer()), 40), "needs a width that 8 divides, not 10"),
        (lambda: build(NonLocal(), 40), "NonLocal keeps width and grid"),
        (lambda: build(Bottleneck(Conv(4)), 64), "with a kernel of 4 in 1 groups cannot be made. Give an odd kernel"),
        (lambda: build(MBConv(kernel=2), 64), "with a kernel of 2 in 256 groups"),
        (lambda: build(Bottleneck(ContextualTransformer(kernel=2)), 64), "with a kernel of 2 in"),
        (lambda: build(Bottleneck(Conv(3, groups=3)), 64), "from 16 to 16 channels with a kernel of 3 in 3 groups"),
        (lambda: build(Bottleneck(ratio=0.001), 64), "from 8 to 0 channels"),
        (lambda: build(Bottleneck(), 0), "from 8 to 0 channels"),
        (lambda: build(Bottleneck(GridAttention(heads=0)), 64), r"heads=0\) does not divide a width of 16.*such as 1"),
        (lambda: build(Bottleneck(GridAttention(key_dim=0)), 64), r"key_dim=0\) leaves no channels .* Use at least 1"),
        (lambda: build(Bottleneck(GridAttention(position="listing", key_dim=8)), 64), "leave key_dim out"),
        (lambda: build(RelativeTransformer(head_dim=0), 64), r"head_dim=0\) does not divide"),
        (lambda: build(ConvMixerBlock(kernel=0), 64), "ConvMixerBlock"),
        (lambda: PatchStem(patch=0), "a side of at least 1 pixel, not 0"),
        (lambda: Head(dropout=2.0), r"dropout is a probability in \[0, 1\), not 2.0"),
        (lambda: Head(num_classes=-1), "The number of classes is 0 for no classifier, or more, not -1"),
        (lambda: get_spec("resnet50").at("64"), r"one number of pixels, or \(height, width\), not '64'"),
        (
            lambda: get_spec("resnet50").at((64, 64, 3)),
            r"one number of pixels, or \(height, width\), not \(64, 64, 3\)",
        ),
        (lambda: get_spec("resnet50").at(0), r"height and a width in whole pixels, not \(0, 0\)"),
        (lambda: repeated(get_spec("resnet50").stages[1], 40).smallest_image, "halves its map so often"),
        (lambda: repeated(Stage(64, 1, (Bottleneck(),) * 5000), 3), "has 15000 blocks. A backbone has at most 10000"),
        (lambda: create_model("resnet_pico", out_indices=(1,)), "Give features_only=True as well"),
        (lambda: build(ConvNeXt(), 20), "ConvNeXt makes each channel into a whole number of others.* from 8 to 20"),
        (
            lambda: build(RelativeTransformer(head_dim=16, widen_at="project"), 64),
            r"head_dim=16\) does not divide a width of 8",
        ),
    ],
)
def test_parts_that_do_not_fit_say_why(make, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        make()


@pytest.mark.parametrize("name", ["resnet50", "coatnet_0", "resnet50_small", "convmixer_768_32"])
def test_too_small_an_image_is_answered_with_a_form_that_takes_smaller_ones_if_there_is_one(name: str) -> None:
    spec = get_spec(name)
    with pytest.raises(ImageSizeError) as caught:
        spec.grids((1, 1))
    if name.endswith("_small"):
        assert "small_image" not in str(caught.value)
    else:
        assert (
            f"ones: {name}_small if it is of the zoo, or in Python what visiongraft.small_image makes of it."
            in str(caught.value)
        )
        assert get_spec(f"{name}_small").smallest_image < spec.smallest_image


def repeated(stage: Stage, times: int) -> Backbone:
    return Backbone("long", ResNetStem(8), (stage,) * times)


def build(block: Block, width: int) -> Network:
    return Network(Backbone("broken", ResNetStem(8), (Stage(width, 2, (block,)),)))


def test_a_mixer_of_ones_own_joins_the_vocabulary() -> None:
    @register
    @dataclass(frozen=True)
    class Average:
        self_normalised: ClassVar[bool] = False
        window: int = 3

        def build(self, site: Site) -> nn.Module:
            return nn.AvgPool2d(self.window, site.stride, self.window // 2)

    spec = get_spec("resnet_pico")
    last = replace(spec.stages[-1], blocks=(Bottleneck(mixer=Average(5)),))
    spec = replace(spec, stages=(*spec.stages[:-1], last))
    assert Backbone.from_json(spec.to_json()) == spec
    assert create_model(spec, num_classes=2)(torch.randn(2, 3, 64, 64)).shape == (2, 2)


def test_a_word_must_be_frozen_new_and_registered() -> None:
    @dataclass
    class Loose:
        pass

    @dataclass(frozen=True)
    class Conv:
        pass

    with pytest.raises(SpecError, match="Loose must be a frozen dataclass"):
        register(Loose)
    with pytest.raises(SpecError, match="already has a Conv"):
        register(Conv)
    stranger = replace(get_spec("resnet_pico"), stages=(Stage(8, 1, (Conv(),)),))
    with pytest.raises(SpecError, match="Conv is not in the vocabulary"):
        stranger.to_json()


def test_a_word_with_a_type_that_cannot_be_found_is_refused_with_its_field() -> None:
    @dataclass(frozen=True)
    class Lost:
        width: "int"
        inner: "Grit | None" = None  # it is what is missing

    with pytest.raises(SpecError) as caught:
        register(Lost)
    assert str(caught.value) == (
        "The type of the inner of a Lost, 'Grit | None', cannot be found: name 'Grit' is not defined. Import or define"
        " what it names above the class, for the whole module and not under TYPE_CHECKING alone."
    )
    assert "Lost" not in vocabulary._WORDS


def test_a_word_may_hold_one_of_its_own_kind() -> None:
    @dataclass(frozen=True)
    class Nested:
        inner: "Nested | None" = None

    try:
        word = Nested(register(Nested)())
        assert decode(encode(word)) == word
    finally:
        del vocabulary._WORDS["Nested"]


def test_the_json_form_is_short_because_equal_blocks_are_written_once() -> None:
    document = json.loads(get_spec("se_cotnetd152").to_json())
    assert document["stages"][1]["blocks"] == [{"times": 8, "of": document["stages"][1]["blocks"][0]["of"]}]


def test_a_choice_that_is_misspelt_is_refused_and_not_built_as_another() -> None:
    spec = get_spec("botnet_pico")
    block = Bottleneck(mixer=GridAttention(position="listng"))  # type: ignore[arg-type]
    with pytest.raises(
        SpecError,
        match=r"^The position of a GridAttention cannot be 'listng'\. Expected one of "
        r"'relative', .*\. Did you mean 'listing'",
    ):
        replace(spec, stages=(*spec.stages[:-1], replace(spec.stages[-1], blocks=(block,))))
