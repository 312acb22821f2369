"""What widely copied listings compute, written anew from a reading of them, with their names of the tensors."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visiongraft.blocks.mixers import GridAttention
from visiongraft.spec import Backbone


class Attention(nn.Module):
    """MHSA of leaderj1001/BottleneckTransformers and of pprp/pytorch-cifar-model-zoo, on a grid of a fixed size."""

    def __init__(self, width: int, heads: int, rows: int, columns: int) -> None:
        super().__init__()
        for name in ("query", "key", "value"):
            self.add_module(name, nn.Conv2d(width, width, 1))
        self.rel_h = nn.Parameter(torch.randn(1, heads, width // heads, 1, columns))
        self.rel_w = nn.Parameter(torch.randn(1, heads, width // heads, rows, 1))

    def forward(self, maps: Tensor) -> Tensor:
        heads = self.rel_h.shape[1]
        query, key, value = (
            self.get_submodule(name)(maps).unflatten(1, (heads, -1)).flatten(3) for name in ("query", "key", "value")
        )  # b n d l
        place = (self.rel_h + self.rel_w).flatten(3)[0]  # n d l
        energy = torch.einsum("bndi,bndj->bnij", query, key) + torch.einsum("ndi,bndj->bnij", place, query)
        return torch.einsum("bnij,bndj->bndi", F.softmax(energy, -1), value).reshape(maps.shape)


class Residual(nn.Module):
    """The bottleneck around it."""

    def __init__(self, in_width: int, width: int, stride: int, mixer: nn.Module) -> None:
        super().__init__()
        middle = width // 4
        self.conv1, self.bn1 = nn.Conv2d(in_width, middle, 1, bias=False), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = mixer, nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = nn.Conv2d(middle, width, 1, bias=False), nn.BatchNorm2d(width)
        needed = stride > 1 or in_width != width
        projection = [nn.Conv2d(in_width, width, 1, stride), nn.BatchNorm2d(width)] if needed else []
        self.shortcut = nn.Sequential(*projection)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.bn1(self.conv1(maps)).relu()
        branch = self.bn3(self.conv3(self.bn2(self.conv2(branch)).relu()))
        return (branch + self.shortcut(maps)).relu()


def listing_botnet_like(spec: Backbone) -> nn.Module:
    """Build BoTNet as leaderj1001 has it or, where our spec has the stem for small images, as pprp has it."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    large = spec.stem.stride == 2
    parts["conv1"] = nn.Conv2d(3, spec.stem.width, 7 if large else 3, spec.stem.stride, 3 if large else 1, bias=False)
    parts["bn1"] = nn.BatchNorm2d(spec.stem.width)
    parts["relu"] = nn.ReLU()
    if large:
        parts["maxpool"] = nn.MaxPool2d(3, 2, 1)
    in_width, (rows, columns) = spec.stem.width, (side // (4 if large else 1) for side in spec.image)
    for index, stage in enumerate(spec.stages):
        blocks = []
        for number, block in enumerate(stage.blocks):
            stride = 2 if index > 0 and number == 0 else 1
            middle = stage.width // 4
            if isinstance(block.mixer, GridAttention):
                attention = Attention(middle, block.mixer.heads, rows, columns)
                mixer: nn.Module = nn.Sequential(attention, *([nn.AvgPool2d(2, 2)] if stride == 2 else []))
            else:
                mixer = nn.Conv2d(middle, middle, 3, stride, 1, bias=False)
            blocks.append(Residual(in_width, stage.width, stride, mixer))
            in_width, rows, columns = stage.width, rows // stride, columns // stride
        parts[f"layer{index + 1}"] = nn.Sequential(*blocks)
    parts["avgpool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    parts["fc"] = nn.Sequential(nn.Dropout(0.3), nn.Linear(in_width, spec.head.num_classes))
    return nn.Sequential(parts)


class ContextualAttention(nn.Module):
    """CoTAttention of xmu-xiaoma666/External-Attention-pytorch, which has 4 groups; the other listing has 1."""

    def __init__(self, width: int, groups: int = 4, kernel: int = 3) -> None:
        super().__init__()
        static = nn.Conv2d(width, width, kernel, 1, kernel // 2, groups=groups, bias=False)
        self.key_embed = nn.Sequential(static, nn.BatchNorm2d(width), nn.ReLU())
        self.value_embed = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))
        half = width // 2
        self.attention_embed = nn.Sequential(
            nn.Conv2d(2 * width, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, kernel * kernel * width, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        static = self.key_embed(maps)
        made = self.attention_embed(torch.cat((static, maps), dim=1))
        taps = made.shape[1] // maps.shape[1]
        mean = torch.stack([made[:, tap::taps] for tap in range(taps)]).mean(0)
        share = F.softmax(mean.flatten(2), dim=2).reshape(maps.shape)
        return static + share * self.value_embed(maps)
