"""timm's CoAtNets, under timm's names, each able to take timm's weights (timm 1.0.31, models/maxxvit.py).

`coatnet_0_224` to `coatnet_5_224` follow the paper, but halve by means where it takes maxima, take the stride in the
depthwise convolution, and have heads of 32 channels in the fifth too. The others are timm's own: SiLU, often an
activation behind every normalisation of MBConv, hidden widths and attention of the incoming width, and a head that
normalises each cell before it averages them.
"""

from dataclasses import replace

from visiongraft.blocks.convnext import ConvNeXt
from visiongraft.blocks.head import Head
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.positions import PlaneNetwork
from visiongraft.blocks.primitives import SqueezeExcite
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.stems import CoAtNetStem
from visiongraft.families.coatnet import TABLE, coatnet
from visiongraft.spec import Backbone

_HEAD = Head(norm="layer", norm_of="cells")

# Of timm's two generations the later one, made for MaxViT, is nearer to the paper: biases, no early activation, SiLU
# in the gate. A gate's hidden layer has a quarter of the wide map's channels, that is as many as come in.
_LATER = MBConv(act="silu", base="input", squeeze=SqueezeExcite(1.0, "silu"), stride_at="depthwise", pool="mean")
_FIRST = replace(_LATER, act_after="all", out_bias="none")
_RELU = replace(_FIRST, squeeze=SqueezeExcite(1.0, "relu"))
_EARLY = replace(_RELU, squeeze_at="before_norm")
_CHEAP = replace(_RELU, stride_at="pool")

_ATTEND = RelativeTransformer(widen_at="project", pool="mean")
_UNBIASED = replace(_ATTEND, shortcut_bias="none")
_COMPUTED = replace(_ATTEND, position=PlaneNetwork(512))

# Channels of the stem, depths, widths.
_PICO = (64, (2, 3, 5, 2), (64, 128, 256, 512))
_NANO = (64, (3, 4, 6, 3), (64, 128, 256, 512))
_0 = (64, (2, 3, 7, 2), (96, 192, 384, 768))
_1 = (64, (2, 6, 14, 2), (96, 192, 384, 768))
_2 = (128, (2, 6, 14, 2), (128, 256, 512, 1024))
_3 = (192, (2, 6, 14, 2), (192, 384, 768, 1536))

_RW = (
    # name, size, the block that convolves, the block that attends
    ("pico_rw", _PICO, _LATER, _ATTEND),
    ("nano_rw", _NANO, replace(_LATER, stride_at="pool"), _ATTEND),
    ("0_rw", _0, replace(_EARLY, stride_at="pool"), _UNBIASED),
    ("1_rw", _1, _EARLY, _UNBIASED),
    ("2_rw", _2, _FIRST, _ATTEND),
    ("3_rw", _3, _FIRST, replace(_ATTEND, scale=1e-6)),
    ("rmlp_nano_rw", _NANO, _LATER, replace(_ATTEND, position=PlaneNetwork(384))),
    ("rmlp_0_rw", _0, _RELU, _COMPUTED),
    (
        "rmlp_1_rw",
        _1,
        replace(_EARLY, stride_at="pool", pool="max_overlapping"),
        replace(_UNBIASED, position=PlaneNetwork(384), pool="max_overlapping"),
    ),
    ("rmlp_1_rw2", _1, _RELU, _COMPUTED),
    ("rmlp_2_rw", _2, _FIRST, replace(_COMPUTED, scale=1e-6)),
    ("rmlp_3_rw", _3, _FIRST, replace(_COMPUTED, scale=1e-6)),
)


def _rw(
    name: str,
    size: tuple[int, tuple[int, ...], tuple[int, ...]],
    convolve: MBConv | ConvNeXt,
    attend: RelativeTransformer,
    *,
    stem: CoAtNetStem = CoAtNetStem(act="silu"),
    head: Head = _HEAD,
) -> Backbone:
    """Give one of timm's own, whose stem grows in two equal steps."""
    width, depths, widths = size
    stem = replace(stem, width=width, first_width=width // 2)
    return coatnet(name, "CCTT", depths, widths, stem=stem, convolve=convolve, attend=attend, head=head)


def _each_stage_opens_like_the_first(spec: Backbone) -> Backbone:
    opening = spec.stages[0].blocks[0]
    stages = (replace(stage, blocks=(opening, *stage.blocks[1:])) for stage in spec.stages)
    return replace(spec, stages=tuple(stages))


def _papers() -> tuple[Backbone, ...]:
    """Give CoAtNet-0 to -5 of the paper as timm reads it."""
    return tuple(
        coatnet(
            f"coatnet_{index}_224",
            pattern,
            depths,
            widths,
            stem=CoAtNetStem(stem),
            convolve=MBConv(stride_at="depthwise", pool="mean"),
            attend=RelativeTransformer(pool="mean"),
        )
        for index, (_, stem, pattern, depths, widths) in enumerate(TABLE[:6])
    )


SPECS = (
    *_papers(),
    *(_rw(f"coatnet_{name}_224", size, convolve, attend) for name, size, convolve, attend in _RW),
    _rw("coatnet_rmlp_2_rw_384", _2, _FIRST, replace(_COMPUTED, scale=1e-6)).at(384),
    _rw(
        "coatnet_bn_0_rw_224",
        _0,
        _EARLY,
        replace(_UNBIASED, norm="batch"),
        head=replace(_HEAD, norm="batch"),
    ),
    _each_stage_opens_like_the_first(_rw("coatnet_nano_cc_224", _NANO, _CHEAP, _ATTEND)),
    _rw("coatnext_nano_rw_224", _NANO, ConvNeXt(scale=1e-5), _ATTEND, stem=CoAtNetStem(act="gelu", norm="layer")),
)
