"""CoAtNet: stages of MBConv, then stages of relative attention (arXiv:2106.04803)."""

import re
from dataclasses import replace

from visiongraft.blocks.convnext import ConvNeXt
from visiongraft.blocks.head import Head
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.site import Block
from visiongraft.blocks.stems import CoAtNetStem, PatchEmbedStem
from visiongraft.spec import Backbone, Stage


def coatnet(
    name: str,
    pattern: str,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    *,
    stem: CoAtNetStem = CoAtNetStem(64),
    convolve: MBConv | ConvNeXt = MBConv(),
    attend: RelativeTransformer = RelativeTransformer(),
    head: Head | None = None,
) -> Backbone:
    """Give a CoAtNet.

    Args:
        name: what the zoo calls it.
        pattern: one letter per stage: C for `convolve`, T for `attend`, and a dot before a letter for a stage that
            stays on the grid of the one before it.
        depths: blocks of each stage.
        widths: channels of each stage.
        stem: from the image to the first map.
        convolve: the block behind the letter C.
        attend: the block behind the letter T.
        head: from the last map to the classes; by default with a hidden layer of the last width.
    """
    words: dict[str, Block] = {"C": convolve, "T": attend}
    marks = re.findall(r"\.?[CT]", pattern)
    stages = tuple(
        Stage(width, 1 if mark.startswith(".") else 2, (words[mark[-1]],) * depth)
        for mark, depth, width in zip(marks, depths, widths, strict=True)
    )
    return Backbone(name, stem, stages, head or Head(norm="layer", hidden=widths[-1]))


TABLE = (
    (32, 64, "CCTT", (2, 3, 5, 2), (96, 192, 384, 768)),
    (32, 64, "CCTT", (2, 6, 14, 2), (96, 192, 384, 768)),
    (32, 128, "CCTT", (2, 6, 14, 2), (128, 256, 512, 1024)),
    (32, 192, "CCTT", (2, 6, 14, 2), (192, 384, 768, 1536)),
    (32, 192, "CCTT", (2, 12, 28, 2), (192, 384, 768, 1536)),
    (64, 192, "CCTT", (2, 12, 28, 2), (256, 512, 1280, 2048)),
    (128, 192, "CCC.TT", (2, 4, 8, 42, 2), (192, 384, 768, 1536, 2048)),
    (128, 192, "CCC.TT", (2, 4, 8, 42, 2), (256, 512, 1024, 2048, 3072)),
)
"""CoAtNet-0 to -7: channels of a head, of the stem, pattern, depths, widths, as in the paper's tables 3, 11 and 12.

The third stage of 6 and 7 changes its block and its width on one grid; here these are two stages.
"""


def _published(suffix: str, convolve: MBConv) -> tuple[Backbone, ...]:
    return tuple(
        coatnet(
            f"coatnet_{index}{suffix}",
            pattern,
            depths,
            widths,
            stem=CoAtNetStem(stem),
            convolve=convolve,
            attend=RelativeTransformer(head_dim),
        )
        for index, (head_dim, stem, pattern, depths, widths) in enumerate(TABLE)
    )


def _vit_rel() -> Backbone:
    """Give the layout study's vision transformer with relative attention: one stage behind patches of 16 pixels."""
    stage = Stage(384, 1, (RelativeTransformer(),) * 14)
    return Backbone("coatnet_vit_rel", PatchEmbedStem(384, 16), (stage,), Head(norm="layer", hidden=384))


_WIDTHS = (96, 192, 384, 768)

# Small enough to learn on two cores: cheap activations where the grid is large, less expansion, a plain head.
_PICO = coatnet(
    "coatnet_pico",
    "CCTT",
    (1, 2, 3, 2),
    (32, 64, 128, 160),
    stem=CoAtNetStem(16, "relu"),
    convolve=MBConv(expansion=2, act="relu"),
    attend=RelativeTransformer(expansion=3),
)

SPECS = (
    *_published("", MBConv()),
    *_published("_dw", MBConv(stride_at="depthwise")),
    _vit_rel(),
    # The layout study at equal size: MBConv is smaller than a transformer block, so stage 3 gets more of it.
    coatnet("coatnet_cccc", "CCCC", (2, 3, 8, 2), _WIDTHS),
    coatnet("coatnet_ccct", "CCCT", (2, 3, 6, 2), _WIDTHS),
    coatnet("coatnet_cctt", "CCTT", (2, 3, 5, 2), _WIDTHS),
    coatnet("coatnet_cttt", "CTTT", (2, 3, 5, 2), _WIDTHS),
    replace(_PICO, head=Head(norm="layer")).at(64),
)
