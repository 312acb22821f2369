"""What the papers' authors, and the best known port of one paper, call the parts of their networks."""

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.convmixer import ConvMixerBlock
from visiongraft.blocks.mixers import BlurAfter, ContextualTransformer, GridAttention
from visiongraft.blocks.site import Site
from visiongraft.blocks.stems import DeepStem
from visiongraft.spec import Backbone
from visiongraft.weights import timm_names
from visiongraft.weights.renaming import Layout, Names, under
from visiongraft.weights.resnet_names import BOTTLENECK, STEM


def _resnet_stem(spec: Backbone) -> Names:
    if isinstance(spec.stem, DeepStem):
        return {"conv1.0": "0", "conv1.1": "1", "conv1.3": "3", "conv1.4": "4", "conv1.6": "6", "bn1": "7"}
    return STEM


_CONTEXTUAL: Names = {"key_embed": "key", "conv1x1": "value", "embed": "kernels", "bn": "norm", "se": "gate"}
_GATED: Names = {"conv": "0", "bn0": "1", "fc1": "3.reduce", "bn1": "3.norm", "fc2": "3.expand"}


def _cot_bottleneck(word: Bottleneck, site: Site) -> Names:
    mixer, inside = word.mixer, "mixer"
    if isinstance(mixer, BlurAfter):
        mixer, inside = mixer.mixer, "mixer.0" if site.stride == 2 else "mixer"
    return {
        **BOTTLENECK,
        **under("conv2", inside, _CONTEXTUAL if isinstance(mixer, ContextualTransformer) else _GATED),
        "downsample": "shortcut",  # in both, a pool may come before the convolution
    }


COTNET = Layout(
    stem=_resnet_stem,
    block=lambda stage, block: f"layer{stage + 1}.{block}",
    words={Bottleneck: _cot_bottleneck},
    head=lambda _: {"fc": "classifier"},
)
"""CoTNet, CoTNeXt and SE-CoTNetD: JDAI-CV/CoTNet, models/cotnet.py and models/cotnet_hybrid.py."""


def _tweeted_block(_: ConvMixerBlock, __: Site) -> Names:
    return {"0.0.0": "depthwise", "0.0.2": "norm1", "1.0": "pointwise", "1.2": "norm2"}


_TWEETED = Layout(
    stem=lambda _: {"0.0": "0", "0.2": "2"},
    block=lambda _, block: f"{1 + block}",
    words={ConvMixerBlock: _tweeted_block},
    head=lambda spec: {f"{3 + spec.depth}": "classifier"},
)

CONVMIXER = Layout(
    stem=lambda _: {"0": "0", "2": "2"},
    block=lambda _, block: f"{3 + block}",
    words=timm_names.CONVMIXER.words,
    head=lambda spec: {f"{5 + spec.depth}": "classifier"},
    others=(_TWEETED, timm_names.CONVMIXER),
)
"""ConvMixer: the function of locuslab/convmixer and locuslab/convmixer-cifar10; its form that fits into a tweet, from
the README of the former; and timm's, which the authors' network became."""


def _ported_block(word: Bottleneck, _: Site) -> Names:
    if not isinstance(word.mixer, GridAttention):
        return {**BOTTLENECK, "downsample": "shortcut"}
    prefix = "" if word.mixer.position == "absolute" else "rel_"
    return {
        "net.0": "reduce",
        "net.1": "norm1",
        "net.3.to_qkv": "mixer.qkv",
        f"net.3.pos_emb.{prefix}height": "mixer.positions.height",
        f"net.3.pos_emb.{prefix}width": "mixer.positions.width",
        "net.5": "norm2",
        "net.7": "expand",
        "net.8": "norm3",
        "shortcut": "shortcut",
    }


def _behind(stages: int) -> Layout:
    """Name the parts of a Sequential of torchvision's first children, the stack, pool, flatten and linear layer."""
    return Layout(
        stem=lambda _: {"0": "0", "1": "1"},
        block=lambda stage, block: f"{4 + stage}.{block}" if stage < stages else f"{4 + stage}.net.{block}",
        words={Bottleneck: _ported_block},
        head=lambda _: {f"{7 + stages}": "classifier"},
    )


BOTTLE_STACK_AS_C5 = _behind(3)
"""lucidrains/bottleneck-transformer-pytorch: its stack in the place of ResNet's last stage."""

BOTTLE_STACK_AS_C3 = _behind(1)
"""The same behind ResNet's first stage, as in that repository's README."""
