"""Names of the parts in widely copied listings of BoTNet and of a contextual transformer."""

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mixers import GridAttention
from visiongraft.blocks.site import Site
from visiongraft.errors import WeightsError
from visiongraft.spec import Backbone
from visiongraft.weights.renaming import Changed, Layout, LineOfHeads, Names, under


def attention(word: GridAttention, _: Site) -> Names:
    """Name the parts of the attention of github.com/leaderj1001/BottleneckTransformers, which pprp copied.

    Raises:
        WeightsError: for another kind of positions.
    """
    if word.position != "listing":
        raise WeightsError(
            f"The listings' attention is GridAttention(position='listing'), and this is {word.position!r}: its weights"
            " cannot become those of another kind of positions. docs/listings.md says what to use instead."
        )
    return {
        ("query", "key", "value"): "qkv",
        "rel_w": Changed("positions.height", LineOfHeads(word.heads, "rows")),  # the listing takes height for width
        "rel_h": Changed("positions.width", LineOfHeads(word.heads, "columns")),
    }


def contextual_transformer(_: SimplifiedContextualTransformer, __: Site) -> Names:
    """Name the parts of CoTAttention of github.com/xmu-xiaoma666/External-Attention-pytorch."""
    return {"key_embed": "key", "value_embed": "value", "attention_embed": "weights"}


def _bottleneck(word: Bottleneck, site: Site) -> Names:
    mixer: Names = {"conv2": "mixer"}
    if isinstance(word.mixer, GridAttention):
        mixer = under("conv2.0", "mixer", attention(word.mixer, site))
    return {
        **mixer,
        "conv1": "reduce",
        "bn1": "norm1",
        "bn2": "norm2",
        "conv3": "expand",
        "bn3": "norm3",
        "shortcut": "shortcut",
    }


def _stem(_: Backbone) -> Names:
    return {"conv1": "0", "bn1": "1"}


def _head(_: Backbone) -> Names:
    return {"fc.1": "classifier"}


BOTNET = Layout(
    stem=_stem,
    block=lambda stage, block: f"layer{stage + 1}.{block}",
    words={Bottleneck: _bottleneck},
    head=_head,
)
"""BoTNet: model.py of leaderj1001/BottleneckTransformers, lib/models/vit/botnet.py of pprp/pytorch-cifar-model-zoo."""
