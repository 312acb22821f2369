"""BoTNet: ResNet whose last stage attends (arXiv:2101.11605)."""

from dataclasses import replace

from visiongraft.blocks.basic import Basic
from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.mixers import GridAttention
from visiongraft.blocks.primitives import SqueezeExcite
from visiongraft.families.resnet import DEPTHS, for_cifar, pico, resnet
from visiongraft.spec import Backbone

_CONV = Bottleneck()
_ATTEND = Bottleneck(mixer=GridAttention(heads=4), shortcut="conv_act")


def with_last_stage(spec: Backbone, *blocks: Bottleneck, name: str, stride: int = 2) -> Backbone:
    """Give a network with other blocks, and perhaps another stride, in its last stage."""
    last = replace(spec.stages[-1], blocks=blocks, stride=stride)
    return replace(spec, name=name, stages=(*spec.stages[:-1], last))


def botnet(
    name: str, depths: tuple[int, ...], *, stride: int = 2, conv: Bottleneck = _CONV, attend: Bottleneck = _ATTEND
) -> Backbone:
    """Give a BoTNet: a ResNet of `conv` blocks whose last stage is made of `attend` blocks, at the given stride."""
    plain = resnet(name, depths, conv)
    return with_last_stage(plain, *(attend,) * depths[-1], name=name, stride=stride)


def _training(name: str, depths: tuple[int, ...], image: int) -> Backbone:
    """Give a T model: last stage at stride 1, SiLU, squeeze-and-excitation in the convolution blocks only.

    The paper's sizes count squeeze-and-excitation in the attention blocks too, which its text denies and its authors'
    counting script explains; ours are the sizes of the networks as described.
    """
    conv = replace(_CONV, act="silu", squeeze=SqueezeExcite(1 / 16, "silu"))
    return botnet(name, depths, stride=1, conv=conv, attend=replace(_ATTEND, act="silu")).at(image)


def _positions(name: str, attention: GridAttention) -> Backbone:
    return botnet(name, DEPTHS[50], attend=replace(_ATTEND, mixer=attention))


SPECS = (
    *(botnet(f"botnet{layers}", DEPTHS[layers]) for layers in (50, 101, 152, 200)),
    with_last_stage(resnet("botnet50", DEPTHS[50], _CONV), _CONV, _CONV, _ATTEND, name="botnet50_001"),
    with_last_stage(resnet("botnet50", DEPTHS[50], _CONV), _CONV, _ATTEND, _ATTEND, name="botnet50_011"),
    with_last_stage(resnet("botnet50", DEPTHS[50], _CONV), _ATTEND, _ATTEND, _ATTEND, name="botnet50_111"),
    botnet("botnet_s1_50", DEPTHS[50], stride=1),
    _training("botnet_t3", (3, 4, 6, 6), 224),
    _training("botnet_t4", (3, 4, 23, 6), 224),
    _training("botnet_t5", (3, 4, 23, 12), 256),
    _training("botnet_t6", (3, 4, 6, 12), 320),
    _training("botnet_t7", (3, 4, 23, 12), 384),
    _positions("botnet50_content", GridAttention(position="none")),
    _positions("botnet50_relative", GridAttention(position="relative_only")),
    _positions("botnet50_content_relative", GridAttention(position="relative")),
    _positions("botnet50_content_absolute", GridAttention(position="absolute")),
    pico(with_last_stage(resnet("resnet", (1, 2, 2, 1), _CONV, width=64), _ATTEND, _ATTEND, name="botnet_pico")),
    for_cifar("botnet14_cifar", Basic(mixer=GridAttention(heads=4))),
)
