"""CoTNet: ResNet whose mixers are contextual transformers (arXiv:2107.12292)."""

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.mixers import BlurAfter, ContextualTransformer, GatedConv
from visiongraft.blocks.site import Mixer
from visiongraft.blocks.stems import DeepStem
from visiongraft.families.resnet import DEPTHS, pico, resnet
from visiongraft.spec import Backbone, Stage

_COT = Bottleneck(mixer=ContextualTransformer())
_COT_NEXT = Bottleneck(mixer=ContextualTransformer(cardinality=2), ratio=3 / 8)


def se_cotnetd(name: str, depths: tuple[int, ...], *, stem: tuple[int, int, int], blur: bool = False) -> Backbone:
    """Give an SE-CoTNetD: a deep stem without pooling, gated convolutions, and contextual transformers further up.

    Args:
        name: what the zoo calls it.
        depths: blocks of the four stages.
        stem: channels of the three convolutions of the stem.
        blur: halve by a blur behind the mixer, as the authors do for 152 layers.

    Stages 1 and 2 and every second block of stage 3 convolve; the others, stage 3's first among them, are contextual.
    """
    gated, contextual = (
        Bottleneck(mixer=BlurAfter(mixer) if blur else mixer, shortcut="mean_conv") for mixer in _MIXERS
    )
    patterns = ((gated,), (gated,), (contextual, gated), (contextual,))
    stages = tuple(
        Stage(256 << level, 2, tuple(pattern[index % len(pattern)] for index in range(depth)))
        for level, (depth, pattern) in enumerate(zip(depths, patterns, strict=True))
    )
    return Backbone(name, DeepStem(stem), stages)


_MIXERS: tuple[Mixer, Mixer] = (GatedConv(), ContextualTransformer())

PUBLISHED = (
    *(resnet(f"cotnet{layers}", DEPTHS[layers], _COT) for layers in (50, 101)),
    *(resnet(f"cotnext{layers}", DEPTHS[layers], _COT_NEXT) for layers in (50, 101)),
    se_cotnetd("se_cotnetd50", DEPTHS[50], stem=(32, 32, 64)),
    se_cotnetd("se_cotnetd101", DEPTHS[101], stem=(64, 64, 128)),
    # The paper's 17.0 GMACs are those at 256 pixels, the authors' own default for this one.
    se_cotnetd("se_cotnetd152", DEPTHS[152], stem=(64, 64, 128), blur=True).at(256),
)
"""The networks that the authors have weights of."""


def _fusion(name: str, mixer: ContextualTransformer) -> Backbone:
    return resnet(name, DEPTHS[50], Bottleneck(mixer=mixer))


SPECS = (
    *PUBLISHED,
    _fusion("cotnet50_static", ContextualTransformer(fusion="static")),
    _fusion("cotnet50_dynamic", ContextualTransformer(fusion="dynamic")),
    _fusion("cotnet50_linear", ContextualTransformer(fusion="sum")),
    pico(resnet("cotnet_pico", (1, 2, 2, 1), _COT, width=64)),
)
