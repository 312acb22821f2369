"""Names of the parts in widely copied listings of BoTNet and of a contextual transformer."""

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mixers import GridAttention
from visiongraft.blocks.site import Site
from visiongraft.errors import WeightsError
from visiongraft.weights.renaming import Changed, Layout, LineOfHeads, Names, under
from visiongraft.weights.resnet_names import BOTTLENECK, STEM


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
    mixer = word.mixer
    inside = under("conv2.0", "mixer", attention(mixer, site)) if isinstance(mixer, GridAttention) else {}
    return {**BOTTLENECK, **inside, "shortcut": "shortcut"}


BOTNET = Layout(
    stem=lambda _: STEM,
    block=lambda stage, block: f"layer{stage + 1}.{block}",
    words={Bottleneck: _bottleneck},
    head=lambda _: {"fc.1": "classifier"},
)
"""BoTNet: model.py of leaderj1001/BottleneckTransformers, lib/models/vit/botnet.py of pprp/pytorch-cifar-model-zoo."""
