"""Small networks of others, for tests of grafting: each family of torchvision and timm, with places in it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import timm
import torch
from timm.models import densenet as timm_densenet
from timm.models import resnet as timm_resnet
from torch import nn
from torchvision.models import convnext, densenet, efficientnet, regnet, resnet

from visiongraft.surgery.words import Loss
from visiongraft.weights.models import create_model


@dataclass(frozen=True)
class Stranger:
    """A family, by a small network of it.

    Args:
        make: builds it.
        convolutions: a pattern of spatial convolutions of its last stage.
        blocks: a pattern of modules behind which a mixer can be.
        lose: what the convolutions have that attention cannot keep.
    """

    make: Callable[[], nn.Module]
    convolutions: str
    blocks: str
    lose: tuple[Loss, ...] = ()

    def awake(self) -> nn.Module:
        """Make it, in eval mode, with every branch and statistic at work."""
        torch.manual_seed(0)
        network = self.make()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.uniform_(module.running_var, 0.5, 1.0)
            for name, each in module.named_parameters(recurse=False):
                if "gamma" in name or "layer_scale" in name:
                    nn.init.uniform_(each, 0.5, 1.0)
        return network.eval()


def _convnext() -> nn.Module:
    stages = [convnext.CNBlockConfig(8, 16, 1), convnext.CNBlockConfig(16, 32, 1), convnext.CNBlockConfig(32, None, 2)]
    return convnext.ConvNeXt(stages, num_classes=5)


def _efficientnet() -> nn.Module:
    rows = [(1, 3, 1, 8, 8, 1), (4, 3, 2, 8, 16, 1), (4, 5, 2, 16, 16, 2)]
    stages = [efficientnet.MBConvConfig(*row) for row in rows]
    return efficientnet.EfficientNet(stages, 0.0, num_classes=5, last_channel=64)


def _regnet() -> nn.Module:
    params = regnet.BlockParams.from_init_params(depth=5, w_0=16, w_a=16.0, w_m=2.0, group_width=8, se_ratio=0.25)
    return regnet.RegNet(params, num_classes=5)


def _timm(name: str) -> Callable[[], nn.Module]:
    return partial(timm.create_model, name, num_classes=5)


BASIC, NARROW = (1, 1, 1, 2), {"groups": 8, "width_per_group": 4}

STRANGERS = {
    "torchvision's ResNet": Stranger(
        partial(resnet.ResNet, resnet.BasicBlock, BASIC, 5), "layer4.*.conv2", "layer4.*"
    ),
    "torchvision's ResNeXt": Stranger(
        partial(resnet.ResNet, resnet.Bottleneck, BASIC, 5, **NARROW), "layer4.*.conv2", "layer4", ("groups",)
    ),
    "torchvision's RegNet": Stranger(_regnet, "trunk_output.block[34].*.f.b.0", "trunk_output.**.f.c", ("groups",)),
    "torchvision's ConvNeXt": Stranger(_convnext, "features.5.*.block.0", "features.5.*", ("groups",)),
    "torchvision's EfficientNet": Stranger(_efficientnet, "features.3.*.block.1.0", "features.[23]", ("groups",)),
    "torchvision's DenseNet": Stranger(
        partial(densenet.DenseNet, 8, (1, 2, 2), 16, num_classes=5),
        "features.denseblock3.*.conv2",
        "features.denseblock[12]",
    ),
    "timm's ResNet": Stranger(_timm("test_resnet"), "layer[34].*.conv2", "layer4.*"),
    "timm's ResNeXt": Stranger(
        partial(timm_resnet.ResNet, timm_resnet.Bottleneck, BASIC, 5, cardinality=8, base_width=4),
        "layer4.*.conv2",
        "layer4.*",
        ("groups",),
    ),
    "timm's RegNet": Stranger(_timm("regnety_002"), "s4.b[12].conv2.conv", "s4.b[12]", ("groups",)),
    "timm's ConvNeXt": Stranger(
        _timm("test_convnext"),
        "stages.3.blocks.*.conv_dw",
        "stages.*",
        ("groups",),
    ),
    "timm's EfficientNet": Stranger(_timm("test_efficientnet"), "blocks.4.*.conv_dw", "blocks.*.0", ("groups",)),
    "timm's DenseNet": Stranger(
        partial(timm_densenet.DenseNet, 8, (1, 2, 2), 5), "features.denseblock3.*.conv2", "features.denseblock[12]"
    ),
    "ours": Stranger(partial(create_model, "resnet_pico", num_classes=5), "stages.2.*.mixer", "stages.[12]"),
}
