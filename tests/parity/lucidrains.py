"""BottleStack of lucidrains/bottleneck-transformer-pytorch, rebuilt under its names from what it computes."""

import torch
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import Bottleneck

from visiongraft.kernels.types import Grid

HEADS = 4


class AbsoluteLogits(nn.Module):
    def __init__(self, grid: Grid, dim: int) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.empty(grid[0], dim))
        self.width = nn.Parameter(torch.empty(grid[1], dim))

    def forward(self, query: Tensor) -> Tensor:
        """From queries (b, n, h, w, d) to logits (b, n, h, w, k, l) for the keys' rows k and columns l."""
        return torch.einsum("bnhwd,kld->bnhwkl", query, self.height[:, None] + self.width[None])


class RelativeLogits(nn.Module):
    def __init__(self, grid: Grid, dim: int) -> None:
        super().__init__()
        self.rel_height = nn.Parameter(torch.empty(2 * grid[0] - 1, dim))
        self.rel_width = nn.Parameter(torch.empty(2 * grid[1] - 1, dim))

    def forward(self, query: Tensor) -> Tensor:
        height, width = query.shape[2:4]
        rows = torch.stack([self.rel_height[height - 1 - row :][:height] for row in range(height)])  # h k d
        columns = torch.stack([self.rel_width[width - 1 - column :][:width] for column in range(width)])  # w l d
        by_row = torch.einsum("bnhwd,hkd->bnhwk", query, rows)
        by_column = torch.einsum("bnhwd,wld->bnhwl", query, columns)
        return by_row[..., :, None] + by_column[..., None, :]


class Attention(nn.Module):
    def __init__(self, width: int, grid: Grid, *, relative: bool) -> None:
        super().__init__()
        self.dim = width // HEADS
        self.to_qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.pos_emb = RelativeLogits(grid, self.dim) if relative else AbsoluteLogits(grid, self.dim)

    def forward(self, maps: Tensor) -> Tensor:
        batch, _, height, width = maps.shape
        parts = self.to_qkv(maps).view(batch, 3, HEADS, self.dim, height, width).permute(1, 0, 2, 4, 5, 3)
        query, key, value = parts  # b n h w d
        query = query * self.dim**-0.5  # before both kinds of logits
        logits = torch.einsum("bnhwd,bnkld->bnhwkl", query, key) + self.pos_emb(query)
        share = logits.flatten(4).softmax(-1).view(logits.shape)
        return torch.einsum("bnhwkl,bnkld->bnhwd", share, value).permute(0, 1, 4, 2, 3).flatten(1, 2)


class BottleBlock(nn.Module):
    def __init__(self, in_width: int, width: int, grid: Grid, *, halves: bool, relative: bool) -> None:
        super().__init__()
        if halves or in_width != width:
            kernel, stride, padding = (3, 2, 1) if halves else (1, 1, 0)
            widen = nn.Conv2d(in_width, width, kernel, stride, padding, bias=False)
            self.shortcut = nn.Sequential(widen, nn.BatchNorm2d(width), nn.ReLU())
        else:
            self.shortcut = nn.Identity()
        self.net = nn.Sequential(
            nn.Conv2d(in_width, width // 4, 1, bias=False),
            nn.BatchNorm2d(width // 4),
            nn.ReLU(),
            Attention(width // 4, grid, relative=relative),
            nn.AvgPool2d(2) if halves else nn.Identity(),
            nn.BatchNorm2d(width // 4),
            nn.ReLU(),
            nn.Conv2d(width // 4, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.net(maps) + self.shortcut(maps))


class BottleStack(nn.Module):
    """Blocks of which the first halves the map; `grid` is that of the incoming one."""

    def __init__(
        self, in_width: int, grid: Grid, *, width: int = 2048, depth: int = 3, relative: bool = False
    ) -> None:
        super().__init__()
        self.width = width
        half = grid[0] // 2, grid[1] // 2
        others = (BottleBlock(width, width, half, halves=False, relative=relative) for _ in range(depth - 1))
        self.net = nn.Sequential(BottleBlock(in_width, width, grid, halves=True, relative=relative), *others)

    def forward(self, maps: Tensor) -> Tensor:
        return self.net(maps)


def behind_resnet(depths: tuple[int, ...], stack: BottleStack, *, num_classes: int) -> nn.Sequential:
    """Put the stack behind the first children of torchvision's ResNet, as the README of that repository does."""
    layers = [*depths, 1, 1, 1][:4]
    front = list(ResNet(Bottleneck, layers).children())[: 4 + len(depths)]
    return nn.Sequential(*front, stack, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(stack.width, num_classes))
