"""The parts that several blocks are made of."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visiongraft.errors import SpecError

Act = Literal["relu", "silu", "gelu"]


class Rectifier(nn.ReLU):
    """PyTorch's ReLU, which while training overwrites its input, and otherwise leaves it to hooks that keep it.

    A view is left as well: what a module with a backward hook gives is one, of which nothing may be overwritten.
    """

    def forward(self, maps: Tensor) -> Tensor:
        alone = torch.compiler.is_compiling() or not maps._is_view()  # a graph decides itself what it overwrites
        return F.relu(maps, inplace=self.training and alone)


_ACTIVATIONS: dict[Act, type[nn.Module]] = {"relu": Rectifier, "silu": nn.SiLU, "gelu": nn.GELU}


def activation(name: Act) -> nn.Module:
    """Make the activation `name`. While training it may overwrite what it is given, which spares a map.

    So it is given what a normalisation, a convolution or a sum put out: none of them needs that for its gradient.
    """
    return _ACTIVATIONS[name]()


def conv(
    in_width: int,
    width: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Make a convolution that keeps the grid, divided by `stride` and rounded up, with weights for what follows it.

    The weights are normal with variance 2 / (outputs that one input reaches), which for a depthwise convolution is
    2 / k^2: PyTorch's own fan_out forgets the groups.

    Raises:
        SpecError: if no such convolution can be.
    """
    if min(in_width, width, kernel, groups) < 1 or kernel % 2 == 0 or in_width % groups or width % groups:
        raise SpecError(
            f"A convolution from {in_width} to {width} channels with a kernel of {kernel} in {groups} groups cannot be"
            " made. Give an odd kernel, widths of at least 1, and groups that divide both widths."
        )
    kind = ThinnedConv if kernel == 1 and stride > 1 and in_width < _ONEDNN_CHANNELS else nn.Conv2d
    layer = kind(in_width, width, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=bias)
    start_normal(layer.weight, std=math.sqrt(2.0 * groups / (kernel * kernel * width)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ThinnedConv(nn.Conv2d):
    """A strided pointwise convolution that first takes the cells it needs, and then convolves them at stride 1.

    The same numbers as those of a Conv2d. With less than 16 channels of channels_last maps that one's gradient writes
    past its memory on a CPU (oneDNN 3.13 in torch 2.15, uxlfoundation/oneDNN#6035), and the process may abort.
    """

    def forward(self, maps: Tensor) -> Tensor:
        thinned = F.avg_pool2d(maps, 1, self.stride)  # a slice would fix the parity of the size in a graph
        return F.conv2d(thinned, self.weight, self.bias, groups=self.groups)


_ONEDNN_CHANNELS = 16


def start_normal(weight: Tensor, *, std: float) -> None:
    """Fill a weight with normal numbers of a standard deviation, but not on the meta device.

    There a weight has no numbers, and PyTorch would import its whole compiler, for seconds, to fill it with none.
    """
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)


def norm(width: int, *, starts_at: float = 1.0) -> nn.BatchNorm2d:
    """Make a batch normalisation whose scale starts at `starts_at`: 0 makes a residual branch start silent."""
    layer = nn.BatchNorm2d(width)
    nn.init.constant_(layer.weight, starts_at)
    return layer


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of each cell over its channels, for maps (b, c, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        cells = maps.permute(0, 2, 3, 1)  # b h w c, a view where maps are channels_last
        return super().forward(cells).permute(0, 3, 1, 2)


def map_norm(kind: Literal["layer", "batch"], width: int) -> nn.Module:
    """Make the normalisation of a transformer block's maps: of each cell, or of each channel over the batch.

    Both add 1e-6 to the variance, as timm's do; PyTorch's batch normalisation, and `norm`, add 1e-5.
    """
    return ChannelNorm(width) if kind == "layer" else nn.BatchNorm2d(width, eps=1e-6)


class ChannelScale(nn.Module):
    """Multiply each channel by a learnt number, or by nothing at all.

    Args:
        width: channels of the maps.
        start: what the numbers start at; None leaves the maps as they are.

    Source: arXiv:2103.17239, the LayerScale of CaiT.
    """

    gamma: nn.Parameter | None

    def __init__(self, width: int, start: float | None) -> None:
        super().__init__()
        self.register_parameter("gamma", None if start is None else nn.Parameter(torch.full((width,), start)))

    def forward(self, maps: Tensor) -> Tensor:
        return maps if self.gamma is None else maps * self.gamma[:, None, None]


class DropPath(nn.Module):
    """Drop the whole residual branch of a sample with probability `rate` while training.

    Source: arXiv:1603.09382. What is kept is divided by the probability of keeping it.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return branch
        keep = 1.0 - self.rate
        mask = torch.empty((branch.shape[0], 1, 1, 1), dtype=branch.dtype, device=branch.device)
        return branch * mask.bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


class HalveMax(nn.Module):
    """The maximum of each 2x2 window; a last odd row or column makes windows of its own."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.max_pool2d(_even(maps), 2)


class HalveMean(nn.Module):
    """The mean of each 2x2 window, over the cells that exist."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.avg_pool2d(_even(maps), 2)


Pool = Literal["max", "max_overlapping", "mean"]
"""How a map is halved beside a strided branch: the maximum of 2x2 cells, that of 3x3, or the mean of 2x2."""


def halve(pool: Pool) -> nn.Module:
    """Make the pooling `pool`, which halves the grid and rounds up."""
    if pool == "max_overlapping":
        return nn.MaxPool2d(3, stride=2, padding=1)
    return HalveMax() if pool == "max" else HalveMean()


def _even(maps: Tensor) -> Tensor:
    """Repeat a last odd row or column, so that 2x2 windows round up and neither maximum nor mean changes.

    PyTorch's own ceil_mode fixes the parity of the size when a graph is recorded. One more row or column never hurts,
    since windows round down: so a graph, which must hold for every size, always repeats them. (By concatenation:
    compiled, the gradient of a replicating pad of channels_last maps has the wrong strides in torch 2.15.)
    """
    always = torch.compiler.is_compiling()
    if always or maps.shape[2] % 2:
        maps = torch.cat([maps, maps[:, :, -1:]], 2)
    if always or maps.shape[3] % 2:
        maps = torch.cat([maps, maps[:, :, :, -1:]], 3)
    return maps


class HalveBlur(nn.Module):
    """Smooth with the binomial 3x3 filter, mirrored at the border, and keep every second cell.

    Source: arXiv:1904.11486.
    """

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Written out: on the meta device PyTorch would import its whole compiler, for seconds, to multiply.
        taps = [[1 / 16, 1 / 8, 1 / 16], [1 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 1 / 16]]
        self.register_buffer("taps", torch.tensor(taps), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        width = maps.shape[1]
        taps = self.taps.to(maps.dtype).expand(width, 1, 3, 3)
        return F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="reflect"), taps, stride=2, groups=width)


@dataclass(frozen=True)
class SqueezeExcite:
    """Scale each channel by a number in (0, 1) that the means of all channels decide.

    Args:
        ratio: width of the hidden layer, as a share of the width that the block names.
        act: activation of the hidden layer.
        min_width: the hidden layer is never narrower.
        hidden_norm: normalise the hidden layer over the batch.

    Source: arXiv:1709.01507. With `hidden_norm` and `min_width=32` it is the split attention of arXiv:2004.08955 for
    radix 1, which SE-CoTNetD uses.
    """

    ratio: float = 1 / 16
    act: Act = "relu"
    min_width: int = 1
    hidden_norm: Literal["none", "batch"] = "none"

    def build(self, width: int, *, of: int | None = None) -> nn.Module:
        """Make the module for maps of `width` channels, its hidden layer a share of `of` (by default of `width`)."""
        hidden = max(int((of or width) * self.ratio), self.min_width)
        return SqueezeExciteGate(self, width, hidden)


def channel_means(maps: Tensor) -> Tensor:  # b c h w -> b c
    """Give the mean of each channel, as a sum and a division.

    The gradient of a sum is one number per channel; that of PyTorch's mean is written out for every cell, which takes
    time. float16 could not hold the sum.
    """
    if maps.dtype == torch.float16:
        return maps.mean((2, 3))
    # A named dtype keeps autocast, which would sum in float32, from copying all cells.
    return maps.sum((2, 3), dtype=maps.dtype) / (maps.shape[2] * maps.shape[3])


class SqueezeExciteGate(nn.Module):
    """See `SqueezeExcite`."""

    def __init__(self, spec: SqueezeExcite, width: int, hidden: int) -> None:
        super().__init__()
        self.reduce = conv(width, hidden, bias=True)
        self.norm = norm(hidden) if spec.hidden_norm == "batch" else nn.Identity()
        self.act = activation(spec.act)
        self.expand = conv(hidden, width, bias=True)

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.gate(maps)

    def gate(self, maps: Tensor) -> Tensor:  # b c h w -> b c 1 1
        """Give what each channel is scaled by."""
        means = channel_means(maps)[..., None, None]
        return self.expand(self.act(self.norm(self.reduce(means)))).sigmoid()


@dataclass(frozen=True)
class EfficientChannelAttention:
    """Scale each channel by a number in (0, 1) that the means of the channels next to it decide.

    One window slides over all channels; the more channels there are, the wider it is.

    Source: arXiv:1910.03151, with its window of (log2(width) + 1) / 2 channels, made odd, and at least 3.
    """

    def build(self, width: int) -> nn.Module:
        """Make the module for maps of `width` channels."""
        reach = int((math.log2(width) + 1) / 2)
        return EfficientChannelGate(max(reach + (reach + 1) % 2, 3))


class EfficientChannelGate(nn.Module):
    """See `EfficientChannelAttention`."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.gate(maps)

    def gate(self, maps: Tensor) -> Tensor:  # b c h w -> b c 1 1
        """Give what each channel is scaled by."""
        means = channel_means(maps)[:, None]  # b 1 c
        return self.conv(means).sigmoid().transpose(1, 2)[..., None]


Gate = SqueezeExcite | EfficientChannelAttention
