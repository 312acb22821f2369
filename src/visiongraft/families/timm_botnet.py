"""timm's BoTNets, under timm's names, each able to take timm's weights (timm 1.0.31, models/byoanet.py).

None is a network of the paper. They have three small convolutions as their stem, attend in some blocks of the later
stages, and their shortcuts have no activation. Squeeze-and-excitation and its like gate the convolution blocks alone,
between the convolution and the widening.
"""

from dataclasses import replace

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.head import Head
from visiongraft.blocks.mixers import Conv, GridAttention
from visiongraft.blocks.primitives import Act, EfficientChannelAttention, SqueezeExcite
from visiongraft.blocks.stems import DeepStem
from visiongraft.spec import Backbone, Stage

_STEM = (24, 32, 64)
_IMAGE = (256, 256)

_RELU = Bottleneck(), Bottleneck(mixer=GridAttention(heads=4))
_SILU = replace(_RELU[0], act="silu"), replace(_RELU[1], act="silu")


def _stage(pattern: str, width: int, convolve: Bottleneck, attend: Bottleneck) -> Stage:
    """Give a stage written as one letter per block: C convolves, A attends."""
    words = {"C": convolve, "A": attend}
    return Stage(width, 2, tuple(words[letter] for letter in pattern))


def _pooled(name: str, act: Act, stages: tuple[Stage, ...]) -> Backbone:
    """Give a network that pools before its first stage, as ResNet does."""
    return Backbone(name, DeepStem(_STEM, act), (replace(stages[0], stride_in="pool"), *stages[1:]), image=_IMAGE)


def _botnet(name: str, patterns: str, convolve: Bottleneck, attend: Bottleneck) -> Backbone:
    """Give a network of ResNet's widths."""
    stages = (_stage(each, 256 << level, convolve, attend) for level, each in enumerate(patterns.split()))
    return _pooled(name, convolve.act, tuple(stages))


def _grouped(name: str, patterns: str, *, group: int) -> Backbone:
    """Give the one with convolutions in groups of `group` channels, and small keys."""
    gated = replace(_SILU[0], squeeze=EfficientChannelAttention(), squeeze_at="after_mixer")
    attend = replace(_SILU[1], mixer=GridAttention(heads=4, key_dim=16))
    stages = []
    for level, pattern in enumerate(patterns.split()):
        groups = (64 << level) // group
        stages.append(_stage(pattern, 256 << level, replace(gated, mixer=Conv(groups=groups)), attend))
    return _pooled(name, gated.act, tuple(stages))


def _squeezed(name: str) -> Backbone:
    """Give the one with a stem of stride 4, a narrower last stage, and a hidden layer for each cell in its head."""
    convolve, attend = _SILU
    convolve = replace(convolve, squeeze=SqueezeExcite(1 / 16, min_width=8), squeeze_at="after_mixer")
    stages = (
        replace(_stage("CC", 256, convolve, attend), stride=1),
        _stage("CCA", 512, convolve, attend),
        _stage("CCA", 1024, convolve, attend),
        _stage("AA", 1536, convolve, replace(attend, ratio=1 / 3)),
    )
    return Backbone(name, DeepStem(_STEM, convolve.act, stride=4), stages, Head(cell_hidden=1280), _IMAGE)


SPECS = (
    _botnet("botnet26t_256", "CC CC CA AA", *_RELU),
    _squeezed("sebotnet33ts_256"),
    _grouped("eca_botnext26ts_256", "CC CC CA AA", group=16),
    _botnet("botnet50ts_256", "CCC CCCA CACACA CAC", *_SILU),
)
