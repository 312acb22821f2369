"""The authors' ConvMixers, rebuilt under the two sets of names that their own code gives (locuslab/convmixer)."""

from collections.abc import Callable

from torch import Tensor, nn


class Beside(nn.Module):
    """A part beside an identity, under the name `fn`."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.fn(maps)


class FirstBeside(nn.Sequential):
    """The same without a name of its own: its first part beside an identity."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self[0](maps)


def as_a_function(
    width: int, depth: int, *, kernel: int, patch: int, act: Callable[[], nn.Module], in_chans: int, num_classes: int
) -> nn.Sequential:
    """Rebuild `ConvMixer` of convmixer.py: every layer lies in one row."""
    blocks = []
    for _ in range(depth):
        depthwise = nn.Conv2d(width, width, kernel, groups=width, padding="same")
        mixed = Beside(nn.Sequential(depthwise, act(), nn.BatchNorm2d(width)))
        blocks.append(nn.Sequential(mixed, nn.Conv2d(width, width, 1), act(), nn.BatchNorm2d(width)))
    patches = nn.Conv2d(in_chans, width, patch, patch)
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)
    return nn.Sequential(patches, act(), nn.BatchNorm2d(width), *blocks, *ends)


def as_tweeted(
    width: int, depth: int, *, kernel: int, patch: int, act: Callable[[], nn.Module], in_chans: int, num_classes: int
) -> nn.Sequential:
    """Rebuild the form of their README that fits into a tweet: each convolution lies with what follows it."""

    def followed(conv: nn.Module) -> nn.Sequential:
        return nn.Sequential(conv, act(), nn.BatchNorm2d(width))

    blocks = []
    for _ in range(depth):
        depthwise = followed(nn.Conv2d(width, width, kernel, groups=width, padding=kernel // 2))
        blocks.append(nn.Sequential(FirstBeside(depthwise), followed(nn.Conv2d(width, width, 1))))
    patches = followed(nn.Conv2d(in_chans, width, patch, patch))
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)
    return nn.Sequential(patches, *blocks, *ends)
