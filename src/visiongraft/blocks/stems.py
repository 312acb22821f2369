"""Stems: from the image to the first feature map."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from visiongraft.blocks.primitives import Act, ChannelNorm, activation, conv, norm
from visiongraft.errors import SpecError
from visiongraft.kernels.types import Grid


@dataclass(frozen=True)
class ResNetStem:
    """One 7x7 convolution at stride 2, normalised and activated. Source: arXiv:1512.03385."""

    stride: ClassVar[int] = 2

    width: int = 64
    act: Act = "relu"

    def build(self, in_chans: int) -> nn.Module:
        """Make the stem for images of `in_chans` channels."""
        return nn.Sequential(conv(in_chans, self.width, 7, stride=2), norm(self.width), activation(self.act))


@dataclass(frozen=True)
class DeepStem:
    """Three 3x3 convolutions, each normalised and activated.

    Args:
        widths: channels of each.
        act: activation behind each.
        stride: by how much the stem shrinks the image. With 2 the first convolution has the stride, with 4 the last
            one as well.

    Source: arXiv:1812.01187; the stride of 4, in place of a pooling behind the stem, is timm's.
    """

    widths: tuple[int, int, int] = (32, 32, 64)
    act: Act = "relu"
    stride: Literal[2, 4] = 2

    @property
    def width(self) -> int:
        """Channels that go out."""
        return self.widths[-1]

    def build(self, in_chans: int) -> nn.Module:
        """Make the stem for images of `in_chans` channels."""
        layers: list[nn.Module] = []
        for width, stride in zip(self.widths, (2, 1, self.stride // 2), strict=True):
            layers += [conv(in_chans, width, 3, stride=stride), norm(width), activation(self.act)]
            in_chans = width
        return nn.Sequential(*layers)


@dataclass(frozen=True)
class CoAtNetStem:
    """Two 3x3 convolutions, the first at stride 2, with one normalisation between.

    Args:
        width: channels that go out.
        act: activation between the convolutions.
        first_width: channels of the first convolution, or None for `width`.
        norm: what normalises between them: "batch", or "layer" over the channels of each cell.

    Source: arXiv:2106.04803; the narrower first convolution is timm's.
    """

    stride: ClassVar[int] = 2

    width: int = 64
    act: Act = "gelu"
    first_width: int | None = None
    norm: Literal["batch", "layer"] = "batch"

    def build(self, in_chans: int) -> nn.Module:
        """Make the stem for images of `in_chans` channels."""
        first = self.first_width or self.width
        return nn.Sequential(
            conv(in_chans, first, 3, stride=2),
            norm(first) if self.norm == "batch" else ChannelNorm(first),
            activation(self.act),
            conv(first, self.width, 3),
        )


@dataclass(frozen=True)
class Patches:
    """What stems that cut the image into patches have in common. Not a stem by itself.

    Args:
        width: channels that go out.
        patch: side of a patch in pixels.
    """

    width: int = 768
    patch: int = 16

    def __post_init__(self) -> None:
        if self.patch < 1:
            raise SpecError(f"A patch has a side of at least 1 pixel, not {self.patch}.")

    @property
    def stride(self) -> int:
        """Side of a patch in pixels."""
        return self.patch


@dataclass(frozen=True)
class PatchStem(Patches):
    """Cut the image into patches and embed each by itself: convolve, activate, normalise. Source: arXiv:2201.09792.

    Pixels at the right and bottom that do not fill a patch are left out, as in the paper's code.
    """

    patch: int = 7
    act: Act = "gelu"

    def build(self, in_chans: int) -> nn.Module:
        """Make the stem for images of `in_chans` channels."""
        return nn.Sequential(
            nn.Conv2d(in_chans, self.width, self.patch, stride=self.patch),
            activation(self.act),
            nn.BatchNorm2d(self.width),
        )


@dataclass(frozen=True)
class PatchEmbedStem(Patches):
    """Cut the image into patches and embed each by itself, linearly, as vision transformers do.

    Pixels at the right and bottom that do not fill a patch are left out.

    Source: arXiv:2010.11929, section 3.1.
    """

    act: ClassVar[Act] = "gelu"  # it has none; its form for small images takes the transformer's

    def build(self, in_chans: int) -> nn.Module:
        """Make the stem for images of `in_chans` channels."""
        layer = nn.Conv2d(in_chans, self.width, self.patch, stride=self.patch)
        nn.init.trunc_normal_(layer.weight, std=(in_chans * self.patch**2) ** -0.5)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        return layer


@dataclass(frozen=True)
class SmallStem:
    """One 3x3 convolution at stride 1, normalised and activated: the form for images of 32 pixels or so."""

    stride: ClassVar[int] = 1

    width: int = 64
    act: Act = "relu"

    def build(self, in_chans: int) -> nn.Module:
        """Make the stem for images of `in_chans` channels."""
        return nn.Sequential(conv(in_chans, self.width, 3), norm(self.width), activation(self.act))


Stem = ResNetStem | DeepStem | CoAtNetStem | PatchStem | PatchEmbedStem | SmallStem


def grid_after(stem: Stem, image: Grid) -> Grid:
    """Give the grid that a stem makes of an image: rounded up, but for patches, which must be whole."""
    if isinstance(stem, Patches):
        return image[0] // stem.patch, image[1] // stem.patch
    return -(-image[0] // stem.stride), -(-image[1] // stem.stride)
