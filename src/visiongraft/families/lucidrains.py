"""BoTNets of lucidrains/bottleneck-transformer-pytorch, the best known port of the authors' listing.

It differs from the paper in its shortcut, which convolves 3x3 cells where it halves the map (27.0 million parameters
for the last stage instead of 10.3), and in its default of absolute positions. Users put its stack behind the first
children of torchvision's ResNet-50: in the place of the last stage, or as its README shows, behind the first one.
"""

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.mixers import GridAttention, Position
from visiongraft.families.resnet import DEPTHS, resnet
from visiongraft.spec import Backbone, Stage


def with_bottle_stack(name: str, stages: int, position: Position) -> Backbone:
    """Give the first so many stages of ResNet-50, and lucidrains' stack of three blocks behind them."""
    front = resnet(name, DEPTHS[50][:stages], Bottleneck())
    block = Bottleneck(mixer=GridAttention(position=position), shortcut="conv3_act")
    return Backbone(name, front.stem, (*front.stages, Stage(2048, 2, (block,) * 3)))


AS_C5 = (
    with_bottle_stack("botnet50_lucidrains", 3, "relative"),
    with_bottle_stack("botnet50_lucidrains_absolute", 3, "absolute"),
)
AS_C3 = (
    with_bottle_stack("botnet20_lucidrains", 1, "relative"),
    with_bottle_stack("botnet20_lucidrains_absolute", 1, "absolute"),
)

SPECS = (*AS_C5, *AS_C3)
