"""ConvMixer: patches, then large depthwise and pointwise convolutions on one grid (arXiv:2201.09792)."""

from dataclasses import replace

from visiongraft.blocks.convmixer import ConvMixerBlock
from visiongraft.blocks.head import Head
from visiongraft.blocks.primitives import Act
from visiongraft.blocks.stems import PatchStem
from visiongraft.spec import Backbone, Stage


def convmixer(name: str, width: int, depth: int, *, patch: int, kernel: int, act: Act = "gelu") -> Backbone:
    """Give a ConvMixer of `depth` blocks of `width` channels on a grid of patches of `patch` pixels."""
    stage = Stage(width, 1, (ConvMixerBlock(kernel, act),) * depth)
    return Backbone(name, PatchStem(width, patch, act), (stage,))


def _cifar(name: str, *, patch: int, kernel: int) -> Backbone:
    spec = convmixer(name, 256, 8, patch=patch, kernel=kernel).at(32)
    return replace(spec, head=Head(num_classes=10))


_1024_20 = convmixer("convmixer_1024_20", 1024, 20, patch=14, kernel=9)

SPECS = (
    convmixer("convmixer_1536_20", 1536, 20, patch=7, kernel=9),
    _1024_20,
    convmixer("convmixer_768_32", 768, 32, patch=7, kernel=7, act="relu"),
    convmixer("convmixer_768_32_k3_p14", 768, 32, patch=14, kernel=3, act="relu"),
    convmixer("convmixer_1024_16", 1024, 16, patch=7, kernel=9),
    convmixer("convmixer_1024_12", 1024, 12, patch=7, kernel=8),
    convmixer("convmixer_512_16", 512, 16, patch=7, kernel=8),
    convmixer("convmixer_512_12", 512, 12, patch=7, kernel=8),
    _cifar("convmixer_256_8", patch=2, kernel=5),
    _cifar("convmixer_256_8_k9_p1", patch=1, kernel=9),
    convmixer("convmixer_pico", 256, 12, patch=8, kernel=5).at(64),
    replace(_1024_20, name="convmixer_1024_20_ks9_p14"),  # timm's name for it
)
