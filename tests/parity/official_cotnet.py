"""The authors' CoTNets, rebuilt from what their code computes, under the names of their checkpoints (JDAI-CV/CoTNet).

Their code needs CuPy and a GPU for one operator, the sum over each cell's neighbours with kernels of its own; here it
is an unfolded map. Nothing of the package is used, so that the two cannot be wrong together.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Variant = Literal["cotnet", "cotnext", "se_cotnetd", "se_cotnetd_blur"]


def aggregate(value: Tensor, kernels: Tensor) -> Tensor:
    """Sum the 3x3 neighbours of each cell: channel c by kernel c mod m. (b, c, h, w) and (b, m, 9, h, w)."""
    batch, channels, height, width = value.shape
    neighbours = F.unfold(value, 3, padding=1).view(batch, channels, 9, height, width)
    kernel_of = torch.arange(channels) % kernels.shape[1]
    return (neighbours * kernels[:, kernel_of]).sum(2)


class Contextual(nn.Module):
    """`CotLayer` for one group, `CoXtLayer` for two."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        hidden, kernels = max(width // 2, 32), width // 8
        self.key_embed = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=4 * groups, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.embed = nn.Sequential(
            nn.Conv2d(2 * width, width // 2, 1, groups=groups, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
            nn.Conv2d(width // 2, 9 * kernels, 1, groups=groups),
            nn.GroupNorm(kernels, 9 * kernels),
        )
        self.conv1x1 = nn.Sequential(nn.Conv2d(width, width, 1, groups=groups, bias=False), nn.BatchNorm2d(width))
        self.bn = nn.BatchNorm2d(width)
        self.se = nn.Sequential(
            nn.Conv2d(width, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, 2 * width, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        batch, width, *grid = maps.shape
        key = self.key_embed(maps)
        pair = torch.cat([maps, key], 1)
        if self.groups > 1:  # channel by channel, so that either group has both of its channels
            pair = pair.view(batch, 2, width, *grid).transpose(1, 2).reshape(batch, 2 * width, *grid)
        kernels = self.embed(pair).view(batch * self.groups, -1, 9, *grid)
        mixed = aggregate(self.conv1x1(maps).reshape(batch * self.groups, -1, *grid), kernels)
        dynamic = F.silu(self.bn(mixed.view(batch, width, *grid)))
        gate = self.se((dynamic + key).mean((2, 3), keepdim=True)).view(batch, width, 2, 1, 1).softmax(2)
        return (torch.stack([dynamic, key], 2) * gate).sum(2)


class Gated(nn.Module):
    """`SplitAttnConv2d` with radix 1."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        hidden = max(width // 4, 32)
        self.conv = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn0 = nn.BatchNorm2d(width)
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.silu(self.bn0(self.conv(maps)))
        means = F.adaptive_avg_pool2d(maps, 1)
        return maps * torch.sigmoid(self.fc2(F.silu(self.bn1(self.fc1(means)))))


class Blur(nn.Module):
    """`BlurPool2d`: every second cell of the map, smoothed by 1 2 1 along both axes and mirrored at the border."""

    def forward(self, maps: Tensor) -> Tensor:
        taps = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=maps.dtype) / 16
        width = maps.shape[1]
        return F.conv2d(F.pad(maps, (1, 1, 1, 1), "reflect"), taps.repeat(width, 1, 1, 1), stride=2, groups=width)


class Block(nn.Module):
    """`Bottleneck` and `CoTBottleneck`."""

    def __init__(self, in_width: int, width: int, *, stride: int, variant: Variant, contextual: bool) -> None:
        super().__init__()
        middle = width * 3 // 8 if variant == "cotnext" else width // 4
        blurs = stride == 2 and variant == "se_cotnetd_blur"
        self.conv1 = nn.Conv2d(in_width, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.before = nn.AvgPool2d(3, 2, padding=1) if stride == 2 and contextual and not blurs else nn.Identity()
        if contextual:
            self.conv2 = Contextual(middle, 2 if variant == "cotnext" else 1)
        else:
            self.conv2 = Gated(middle, 1 if blurs else stride)
        self.after = Blur() if blurs else nn.Identity()
        self.conv3 = nn.Conv2d(middle, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        if stride == 2 or in_width != width:
            averages = variant.startswith("se_cotnetd")
            pool = [nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)] if averages else []
            conv = nn.Conv2d(in_width, width, 1, 1 if averages else stride, bias=False)
            self.downsample = nn.Sequential(*pool, conv, nn.BatchNorm2d(width))
        else:
            self.downsample = nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        branch = F.relu(self.bn1(self.conv1(maps)))
        branch = self.after(self.conv2(self.before(branch)))
        return F.relu(self.bn3(self.conv3(branch)) + self.downsample(maps))


class OfficialCoTNet(nn.Module):
    """`ResNet` with their blocks, and `CoTHybridNet`.

    Args:
        variant: which of the networks; "se_cotnetd_blur" is the one of 152 layers.
        stem: channels of the stem's one convolution, or of its three.
        depths: blocks of the four stages.
        widths: their channels.
        in_chans: channels of the images.
        num_classes: how many logits go out.
    """

    def __init__(
        self,
        variant: Variant,
        stem: tuple[int, ...],
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        *,
        in_chans: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.pools = len(stem) == 1
        if self.pools:
            self.conv1 = nn.Conv2d(in_chans, stem[0], 7, 2, 3, bias=False)
        else:
            first, second, third = stem
            self.conv1 = nn.Sequential(
                nn.Conv2d(in_chans, first, 3, 2, 1, bias=False),
                nn.BatchNorm2d(first),
                nn.ReLU(),
                nn.Conv2d(first, second, 3, 1, 1, bias=False),
                nn.BatchNorm2d(second),
                nn.ReLU(),
                nn.Conv2d(second, third, 3, 1, 1, bias=False),
            )
        self.bn1 = nn.BatchNorm2d(stem[-1])
        in_width = stem[-1]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
            blocks = []
            for index in range(depth):
                stride = 2 if index == 0 and not (stage == 1 and self.pools) else 1
                contextual = self.pools or stage == 4 or (stage == 3 and index % 2 == 0)
                blocks.append(Block(in_width, width, stride=stride, variant=variant, contextual=contextual))
                in_width = width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(in_width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.bn1(self.conv1(images)))
        if self.pools:
            maps = F.max_pool2d(maps, 3, 2, 1)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return self.fc(maps.mean((2, 3)))
