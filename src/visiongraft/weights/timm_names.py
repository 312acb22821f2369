"""timm's names for the parts of its networks (timm 1.0.31)."""

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.convmixer import ConvMixerBlock
from visiongraft.blocks.convnext import ConvNeXt
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.mixers import GridAttention
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.site import Site
from visiongraft.spec import Backbone
from visiongraft.weights.renaming import Changed, HeadsOutermost, Layout, Names, OffsetsInRows, OfUnscaledQueries
from visiongraft.weights.resnet_names import BOTTLENECK, STEM


def _stem(_: Backbone) -> Names:
    return {"stem.conv1": "0", "stem.norm1": "1", "stem.conv2": "3"}


def _mbconv(word: MBConv, _: Site) -> Names:
    gate = "se_early" if word.squeeze_at == "before_norm" else "se"
    return {
        "shortcut.expand": "shortcut.1",
        "pre_norm": "norm1",
        "conv1_1x1": "expand",
        "norm1": "norm2",
        "conv2_kxk": "depthwise",
        "norm2": "norm3",
        f"{gate}.fc1": "squeeze.reduce",
        f"{gate}.fc2": "squeeze.expand",
        "conv3_1x1": "project",
    }


def _convnext(_: ConvNeXt, __: Site) -> Names:
    return {
        "shortcut.expand": "shortcut.1",
        "conv_dw": "depthwise",
        "norm": "norm",
        "mlp.fc1": "expand",
        "mlp.fc2": "project",
        "ls": "scale",
    }


def _relative_transformer(word: RelativeTransformer, site: Site) -> Names:
    return {
        "shortcut.expand": "shortcut.1",
        "norm1" if site.stride == 1 else "norm1.norm": "norm1",
        "attn.qkv": Changed("qkv", HeadsOutermost(word.head_dim)),
        "attn.rel_pos.relative_position_bias_table": Changed("bias.table", OffsetsInRows()),
        "attn.rel_pos.mlp.fc1": "bias.hidden",
        "attn.rel_pos.mlp.fc2": "bias.out",
        "attn.proj": "project",
        "ls1": "scale1",
        "norm2": "norm2",
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.2",
        "ls2": "scale2",
    }


def _head(spec: Backbone) -> Names:
    norm = "norm" if spec.head.norm_of == "cells" else "head.norm"
    return {norm: "norm", "head.pre_logits.fc": "hidden.0", "head.fc": "classifier"}


COATNET = Layout(
    stem=_stem,
    block=lambda stage, block: f"stages.{stage}.blocks.{block}",
    words={MBConv: _mbconv, ConvNeXt: _convnext, RelativeTransformer: _relative_transformer},
    head=_head,
    ignored=frozenset({"relative_position_index", "rel_coords_log"}),
)
"""CoAtNet and CoAtNeXt: models/maxxvit.py."""


def _bottleneck(_: Bottleneck, __: Site) -> Names:
    return {
        **BOTTLENECK,
        "se.fc1": "squeeze.reduce",
        "se.fc2": "squeeze.expand",
        "downsample": "shortcut",
    }


RESNET = Layout(
    stem=lambda _: STEM,
    block=lambda stage, block: f"layer{stage + 1}.{block}",
    words={Bottleneck: _bottleneck},
    head=lambda _: {"fc": "classifier"},
)
"""ResNet and SE-ResNet: models/resnet.py."""


def _attending_bottleneck(word: Bottleneck, _: Site) -> Names:
    mixer: Names = {"conv2_kxk.conv": "mixer", "conv2_kxk.bn": "norm2"}
    if isinstance(word.mixer, GridAttention):
        mixer = {
            "self_attn.qkv": "mixer.qkv",
            "self_attn.pos_embed.height_rel": Changed("mixer.positions.height", OfUnscaledQueries()),
            "self_attn.pos_embed.width_rel": Changed("mixer.positions.width", OfUnscaledQueries()),
            "post_attn": "norm2",
        }
    return {
        "conv1_1x1.conv": "reduce",
        "conv1_1x1.bn": "norm1",
        **mixer,
        "attn.fc1": "squeeze.reduce",
        "attn.fc2": "squeeze.expand",
        "attn.conv": "squeeze.conv",
        "conv3_1x1.conv": "expand",
        "conv3_1x1.bn": "norm3",
        "shortcut.conv": "shortcut.0",
        "shortcut.bn": "shortcut.1",
    }


def _small_convolutions(_: Backbone) -> Names:
    return {
        f"stem.conv{index + 1}.{theirs}": str(3 * index + ours)
        for index in range(3)
        for theirs, ours in (("conv", 0), ("bn", 1))
    }


BOTNET = Layout(
    stem=_small_convolutions,
    block=lambda stage, block: f"stages.{stage}.{block}",
    words={Bottleneck: _attending_bottleneck},
    head=lambda _: {
        "final_conv.conv": "cell_hidden.0",
        "final_conv.bn": "cell_hidden.1",
        "head.fc": "classifier",
    },
)
"""BoTNet: models/byobnet.py with models/byoanet.py."""


def _convmixer(_: ConvMixerBlock, __: Site) -> Names:
    return {"0.fn.0": "depthwise", "0.fn.2": "norm1", "1": "pointwise", "3": "norm2"}


CONVMIXER = Layout(
    stem=lambda _: {"stem": ""},
    block=lambda _, block: f"blocks.{block}",
    words={ConvMixerBlock: _convmixer},
    head=lambda _: {"head": "classifier"},
)
"""ConvMixer: models/convmixer.py."""
