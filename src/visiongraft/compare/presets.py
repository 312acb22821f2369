"""Ablations of the papers, as lists of networks: in the papers' size, and as picos that two cores can train."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.head import Head
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.mixers import ContextualTransformer, GridAttention, Position
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.stems import PatchEmbedStem
from visiongraft.errors import GraftError, nearest
from visiongraft.families.botnet import with_last_stage
from visiongraft.families.coatnet import coatnet
from visiongraft.families.convmixer import convmixer
from visiongraft.families.resnet import with_non_local
from visiongraft.families.zoo import get_spec
from visiongraft.spec import Backbone, Stage


@dataclass(frozen=True)
class Preset:
    """An ablation.

    Args:
        name: what the command line calls it.
        question: that it asks.
        specs: the networks, the one that the others are compared with first.
        words: what each network is, by name, where its name does not say it.
        paper: where the study stands.
        metric: what the published figures are; empty where there are none.
        figures: published beside this study, by the network's name. They belong to other data and recipes.
        note: what has to be known of these figures, or why there are none.
    """

    name: str
    question: str
    specs: tuple[Backbone, ...]
    words: Mapping[str, str]
    paper: str
    metric: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


_BOTNET = "arXiv:2101.11605"
_COATNET = "arXiv:2106.04803"
_CONVMIXER = "arXiv:2201.09792"
_COTNET = "arXiv:2107.12292"
_OURS = " A pico is ours, and no figure of the paper is of it."

_CONV = Bottleneck()
_ATTEND = Bottleneck(mixer=GridAttention(heads=4), shortcut="conv_act")


def _named(name: str, spec: Backbone) -> Backbone:
    return replace(spec, name=name)


def _pico(suffix: str, *blocks: Bottleneck, stride: int = 2) -> Backbone:
    """Give botnet_pico with other blocks in its last stage."""
    return with_last_stage(get_spec("botnet_pico"), *blocks, name=f"pico_{suffix}", stride=stride)


def _attending(position: Position) -> Bottleneck:
    return replace(_ATTEND, mixer=GridAttention(heads=4, position=position))


_POSITIONS = {
    "conv": "3x3 convolution in the place of attention",
    "content": "queries and keys, no positions",
    "relative": "relative positions alone",
    "content_relative": "queries and keys, relative positions",
    "content_absolute": "queries and keys, absolute positions",
}
_POSITION_QUESTION = "Which positions does BoTNet's attention need?"
_UNCHECKED = (
    "The paper's table of this study is of Mask R-CNN on COCO; we could not check its figures, so none stand here."
)


def _positions() -> tuple[Preset, Preset]:
    studied: tuple[tuple[str, Position], ...] = (
        ("content", "none"),
        ("relative", "relative_only"),
        ("content_relative", "relative"),
        ("content_absolute", "absolute"),
    )
    names = [f"botnet50_{suffix}" for suffix, _ in studied]
    small = [_pico(suffix, *(_attending(position),) * 2) for suffix, position in studied]
    return (
        Preset(
            "botnet-position",
            _POSITION_QUESTION,
            tuple(map(get_spec, ("resnet50", *names))),
            {"resnet50": _POSITIONS["conv"], **{f"botnet50_{key}": _POSITIONS[key] for key, _ in studied}},
            _BOTNET,
            note=_UNCHECKED,
        ),
        Preset(
            "botnet-position-pico",
            _POSITION_QUESTION,
            (_pico("conv", _CONV, _CONV), *small),
            {f"pico_{key}": words for key, words in _POSITIONS.items()},
            _BOTNET,
            note=_UNCHECKED,
        ),
    )


def _last_stages() -> tuple[Preset, Preset]:
    question = "How many blocks of the last stage should attend, and at which stride?"
    figures = {"resnet50": "77.7", "botnet50_111": "78.3", "botnet_s1_50": "79.1"}
    patterns = {"00": (_CONV, _CONV), "01": (_CONV, _ATTEND), "11": (_ATTEND, _ATTEND)}
    return (
        Preset(
            "botnet-c5",
            question,
            tuple(map(get_spec, ("resnet50", "botnet50_001", "botnet50_011", "botnet50_111", "botnet_s1_50"))),
            {
                "resnet50": "no block attends",
                "botnet50_001": "the last of three attends",
                "botnet50_011": "the last two attend",
                "botnet50_111": "all attend",
                "botnet_s1_50": "all attend, at stride 1",
            },
            _BOTNET,
            "ImageNet top-1 in %, 200 epochs",
            figures,
            "As quoted by BossNAS and LeViT. The paper's figures for one and two blocks were not at hand.",
        ),
        Preset(
            "botnet-c5-pico",
            question,
            (
                *(_pico(digits, *blocks) for digits, blocks in patterns.items()),
                _pico("11_stride1", _ATTEND, _ATTEND, stride=1),
            ),
            {
                "pico_00": "no block attends",
                "pico_01": "the last of two attends",
                "pico_11": "both attend",
                "pico_11_stride1": "both attend, at stride 1",
            },
            _BOTNET,
            note="The paper's networks attend in up to three blocks of this stage." + _OURS,
        ),
    )


_LAYOUTS = {
    "vit_rel": "a transformer with relative attention, behind patches",
    "cccc": "convolution in all stages",
    "ccct": "attention in the last stage",
    "cctt": "attention in the last two, as in CoAtNet",
    "cttt": "attention in the last three",
}
_LAYOUT_NOTE = (
    "The paper shows curves. From them it reads, for generalisation on ImageNet-1k, CCCC about CCCT, at least CCTT,"
    " above CTTT, far above ViT_REL; for capacity on JFT, CCTT about CTTT, above ViT_REL, above CCCT, above CCCC."
)


def _layouts() -> tuple[Preset, Preset]:
    question = "Which stages of CoAtNet should attend?"
    order = ("cccc", "ccct", "cctt", "cttt", "vit_rel")
    base = get_spec("coatnet_pico")
    attend = RelativeTransformer(expansion=3)
    # Depths that make the sizes alike, 1.15 to 1.31 million: a block of convolution is smaller than one of attention.
    small = [
        replace(
            coatnet(
                f"pico_{layout}",
                layout.upper(),
                depths,
                (32, 64, 128, 160),
                stem=base.stem,  # type: ignore[arg-type]  # a CoAtNetStem, as in all CoAtNets
                convolve=MBConv(expansion=2, act="relu"),
                attend=attend,
                head=Head(norm="layer"),
            ),
            image=base.image,
        )
        for layout, depths in {
            "cccc": (1, 2, 5, 5),
            "ccct": (1, 2, 6, 2),
            "cctt": (1, 2, 3, 2),
            "cttt": (1, 1, 3, 2),
        }.items()
    ]
    patches = Stage(128, 1, (attend,) * 6)
    vit = Backbone("pico_vit_rel", PatchEmbedStem(128, 8), (patches,), Head(norm="layer"), image=base.image)
    return (
        Preset(
            "coatnet-layout",
            question,
            tuple(get_spec(f"coatnet_{layout}") for layout in order),
            {f"coatnet_{layout}": _LAYOUTS[layout] for layout in order},
            _COATNET,
            "ImageNet top-1 in % at 224 pixels, after JFT",
            {"coatnet_cctt": "82.39", "coatnet_cttt": "81.78"},
            _LAYOUT_NOTE,
        ),
        Preset(
            "coatnet-layout-pico",
            question,
            (*small, vit),
            {f"pico_{layout}": _LAYOUTS[layout] for layout in order},
            _COATNET,
            note=_LAYOUT_NOTE + _OURS,
        ),
    )


def _non_local() -> tuple[Preset, Preset]:
    question = "Attention in the place of a convolution, or beside it?"
    plain = _pico("conv", _CONV, _CONV)
    return (
        Preset(
            "non-local",
            question,
            tuple(map(get_spec, ("resnet50", "nonlocal_resnet50", "botnet50"))),
            {
                "resnet50": "no attention",
                "nonlocal_resnet50": "a non-local block before the last block of c4",
                "botnet50": "attention in the place of the convolutions of c5",
            },
            _BOTNET,
            note=_UNCHECKED,
        ),
        Preset(
            "non-local-pico",
            question,
            (plain, with_non_local(plain, 3, 1, name="pico_non_local"), _pico("attention", _ATTEND, _ATTEND)),
            {
                "pico_conv": "no attention",
                "pico_non_local": "a non-local block before the last block of stage 3",
                "pico_attention": "attention in the place of the convolutions of stage 4",
            },
            _BOTNET,
            note=_UNCHECKED,
        ),
    )


def _patches_and_kernels() -> tuple[Preset, Preset]:
    question = "How large should ConvMixer's patches and kernels be?"
    large = [
        get_spec("convmixer_768_32"),
        convmixer("convmixer_768_32_k3_p7", 768, 32, patch=7, kernel=3, act="relu"),
        convmixer("convmixer_768_32_k7_p14", 768, 32, patch=14, kernel=7, act="relu"),
        get_spec("convmixer_768_32_k3_p14"),
    ]
    small = [
        convmixer(f"pico_k{kernel}_p{patch}", 256, 12, patch=patch, kernel=kernel).at(64)
        for patch, kernel in ((8, 5), (8, 3), (8, 7), (16, 3), (16, 5))
    ]
    return (
        Preset(
            "convmixer-patch-kernel",
            question,
            tuple(large),
            {
                "convmixer_768_32": "patches of 7 pixels, kernels of 7 cells",
                "convmixer_768_32_k3_p7": "patches of 7, kernels of 3",
                "convmixer_768_32_k7_p14": "patches of 14, kernels of 7",
                "convmixer_768_32_k3_p14": "patches of 14, kernels of 3",
            },
            _CONVMIXER,
            "ImageNet top-1 in %, 300 epochs",
            {"convmixer_768_32": "80.16"},
            "As in the authors' README. The paper also has the last of the four; its figure was not at hand.",
        ),
        Preset(
            "convmixer-patch-kernel-pico",
            question,
            tuple(small),
            {each.name: _patch_words(each.name) for each in small},
            _CONVMIXER,
            note="The paper studies both on CIFAR-10; its table was not at hand." + _OURS,
        ),
    )


def _patch_words(name: str) -> str:
    _, kernel, patch = name.split("_")
    return f"patches of {patch[1:]} pixels, kernels of {kernel[1:]} cells"


def _fusions() -> tuple[Preset, Preset]:
    question = "What do CoTNet's two contexts give, and what does their gate?"
    words = {
        "static": "the static context alone",
        "dynamic": "the dynamic context alone",
        "linear": "the sum of both",
        "gate": "both, weighed by a gate, as in CoTNet",
    }
    pico = get_spec("cotnet_pico")
    modes = {"static": "static", "dynamic": "dynamic", "linear": "sum", "gate": "gate"}
    small = []
    for name, mode in modes.items():
        block = Bottleneck(mixer=ContextualTransformer(fusion=mode))  # type: ignore[arg-type]  # one of its words
        stages = tuple(replace(stage, blocks=(block,) * len(stage.blocks)) for stage in pico.stages)
        small.append(replace(pico, name=f"pico_{name}", stages=stages))
    return (
        Preset(
            "cot-fusion",
            question,
            tuple(map(get_spec, ("cotnet50", "cotnet50_static", "cotnet50_dynamic", "cotnet50_linear"))),
            {"cotnet50": words["gate"], **{f"cotnet50_{key}": words[key] for key in ("static", "dynamic", "linear")}},
            _COTNET,
            note="The sizes of the paper's table are those of ours; its scores were not at hand.",
        ),
        Preset(
            "cot-fusion-pico",
            question,
            (small[-1], *small[:-1]),
            {f"pico_{key}": each for key, each in words.items()},
            _COTNET,
            note="The paper's study is of CoTNet-50." + _OURS,
        ),
    )


PRESETS: dict[str, Preset] = {
    each.name: each
    for pair in (_positions(), _last_stages(), _layouts(), _non_local(), _patches_and_kernels(), _fusions())
    for each in pair
}
"""The ablations by name. Behind each in the size of its paper stands the one that two cores can train."""


def get_preset(name: str) -> Preset:
    """Give an ablation by its name.

    Raises:
        GraftError: if there is none; the error suggests near names.
    """
    if name.lower() not in PRESETS:
        raise GraftError(f"No preset is named {name!r}.{nearest(name, PRESETS)} The presets are {', '.join(PRESETS)}.")
    return PRESETS[name.lower()]
