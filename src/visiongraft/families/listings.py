"""What widely copied listings call BoTNet and CoTNet: for weights that were trained with them, not for new work.

docs/listings.md says where they are not the networks of the papers. Those are `botnet50` and `cotnet50`.
"""

from dataclasses import replace

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.head import Head
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mixers import GridAttention
from visiongraft.families.botnet import botnet
from visiongraft.families.resnet import DEPTHS, resnet
from visiongraft.spec import Backbone

_CONV = Bottleneck(shortcut="conv_bias")


def _botnet(name: str, heads: int) -> Backbone:
    """Give the network around the listing's attention, as github.com/leaderj1001/BottleneckTransformers has it."""
    attend = replace(_CONV, mixer=GridAttention(heads, position="listing"))
    spec = botnet(name, DEPTHS[50], conv=_CONV, attend=attend)
    return replace(spec, head=Head(dropout=0.3))


def _cotnet(name: str, groups: int) -> Backbone:
    return resnet(name, DEPTHS[50], Bottleneck(mixer=SimplifiedContextualTransformer(groups=groups)))


SPECS = (
    _botnet("botnet50_listing", heads=4),
    _botnet("botnet50_listing_1head", heads=1),
    _cotnet("cotnet50_listing", groups=1),
    _cotnet("cotnet50_listing_groups4", groups=4),
)
