"""CoAtNet: stages of MBConv, then stages of relative attention (arXiv:2106.04803)."""

from dataclasses import replace

from visiongraft.blocks.head import Head
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.site import Block
from visiongraft.blocks.stems import CoAtNetStem, PatchStem, SmallStem
from visiongraft.spec import Backbone, Stage


def coatnet(
    name: str,
    pattern: str,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    *,
    stem: int = 64,
    head_dim: int = 32,
    convolve: MBConv = MBConv(),
) -> Backbone:
    """Give a CoAtNet.

    Args:
        name: what the zoo calls it.
        pattern: one letter per stage: C for MBConv, T for RelativeTransformer.
        depths: blocks of each stage.
        widths: channels of each stage.
        stem: channels of the stem.
        head_dim: channels of one attention head.
        convolve: the block behind the letter C.
    """
    words: dict[str, Block] = {"C": convolve, "T": RelativeTransformer(head_dim)}
    stages = tuple(
        Stage(width, 2, (words[letter],) * depth) for letter, depth, width in zip(pattern, depths, widths, strict=True)
    )
    return Backbone(name, CoAtNetStem(stem), stages, Head(norm="layer", hidden=widths[-1]))


def _with_long_third_stage(spec: Backbone) -> Backbone:
    """Let the fourth stage of CoAtNet-6 and -7 stay on the grid of the third, which is one stage in the paper."""
    stages = list(spec.stages)
    stages[3] = replace(stages[3], stride=1)
    return replace(spec, stages=tuple(stages))


def _vit_rel() -> Backbone:
    """Give the layout study's vision transformer with relative attention: one stage behind patches of 16 pixels."""
    stage = Stage(384, 1, (RelativeTransformer(),) * 14)
    return Backbone("coatnet_vit_rel", PatchStem(384, 16), (stage,), Head(norm="layer", hidden=384))


_0 = ((2, 3, 5, 2), (96, 192, 384, 768))
_TABLE = {
    # By number: channels of the stem, depths, widths, channels of a head.
    0: (64, *_0, 32),
    1: (64, (2, 6, 14, 2), (96, 192, 384, 768), 32),
    2: (128, (2, 6, 14, 2), (128, 256, 512, 1024), 32),
    3: (192, (2, 6, 14, 2), (192, 384, 768, 1536), 32),
    4: (192, (2, 12, 28, 2), (192, 384, 768, 1536), 32),
    5: (192, (2, 12, 28, 2), (256, 512, 1280, 2048), 64),
}


def _row(index: int, suffix: str, convolve: MBConv) -> Backbone:
    stem, depths, widths, head_dim = _TABLE[index]
    return coatnet(f"coatnet_{index}{suffix}", "CCTT", depths, widths, stem=stem, head_dim=head_dim, convolve=convolve)


def _giant(index: int, suffix: str, convolve: MBConv) -> Backbone:
    depths, widths = {
        6: ((2, 4, 8, 42, 2), (192, 384, 768, 1536, 2048)),
        7: ((2, 4, 8, 42, 2), (256, 512, 1024, 2048, 3072)),
    }[index]
    return _with_long_third_stage(
        coatnet(f"coatnet_{index}{suffix}", "CCCTT", depths, widths, stem=192, head_dim=128, convolve=convolve)
    )


_STRIDES = {"": MBConv(), "_dw": MBConv(stride_at="depthwise")}

_PICO = coatnet("coatnet_pico", "CCTT", (2, 2, 2, 2), (32, 64, 128, 192), stem=32)

SPECS = (
    *(_row(index, suffix, convolve) for suffix, convolve in _STRIDES.items() for index in _TABLE),
    *(_giant(index, suffix, convolve) for suffix, convolve in _STRIDES.items() for index in (6, 7)),
    _vit_rel(),
    # The layout study at equal size: MBConv is smaller than a transformer block, so stage 3 gets more of it.
    coatnet("coatnet_cccc", "CCCC", (2, 3, 8, 2), _0[1]),
    coatnet("coatnet_ccct", "CCCT", (2, 3, 6, 2), _0[1]),
    coatnet("coatnet_cctt", "CCTT", *_0),
    coatnet("coatnet_cttt", "CTTT", *_0),
    replace(_PICO, stem=SmallStem(32, "gelu"), head=Head(norm="layer")).at(64),
)
