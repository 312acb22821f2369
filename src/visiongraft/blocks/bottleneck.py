"""The residual bottleneck of ResNet, around any mixer."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from visiongraft.blocks.mixers import Conv
from visiongraft.blocks.primitives import Act, DropPath, Gate, HalveMean, activation, conv, norm
from visiongraft.blocks.site import Mixer, Site

Shortcut = Literal["conv", "conv_act", "mean_conv", "conv_bias", "conv3_act"]


@dataclass(frozen=True)
class Bottleneck:
    """Narrow, mix, widen, and add to what came in.

    Args:
        mixer: what works between the two pointwise convolutions.
        ratio: width of the mixer as a share of the block's width.
        squeeze: the gate that scales channels, or None.
        act: activation after each normalisation.
        shortcut: how the incoming map meets the new width and stride. "conv": a strided pointwise convolution.
            "conv_act": the same and an activation, as in BoTNet. "mean_conv": 2x2 means, then the convolution, as in
            ResNet-D. "conv_bias": the strided pointwise convolution with a bias, which the normalisation behind it
            takes away again; only public listings have it. "conv3_act": as "conv_act", but where there is a stride,
            the convolution sees 3x3 cells; only lucidrains' port has it.
        squeeze_at: what the gate scales: the "output" that is added to the shortcut, or the mixer's map "after_mixer",
            normalised and activated.

    The last normalisation starts at zero, so that the block starts as its shortcut.

    Source: arXiv:1512.03385, figure 5, with the stride in the mixer.
    """

    mixer: Mixer = field(default_factory=Conv)
    ratio: float = 0.25
    squeeze: Gate | None = None
    act: Act = "relu"
    shortcut: Shortcut = "conv"
    squeeze_at: Literal["output", "after_mixer"] = "output"

    def build(self, site: Site) -> nn.Module:
        """Make the block for this place."""
        return BottleneckBlock(self, site)


class BottleneckBlock(nn.Module):
    """See `Bottleneck`."""

    def __init__(self, spec: Bottleneck, site: Site) -> None:
        super().__init__()
        middle = int(site.width * spec.ratio)
        self.reduce = conv(site.in_width, middle)
        self.norm1 = norm(middle)
        self.mixer = spec.mixer.build(site.inside(middle))
        self.norm2 = nn.Identity() if spec.mixer.self_normalised else norm(middle)
        self.expand = conv(middle, site.width)
        self.norm3 = norm(site.width, starts_at=0.0)
        self.gates_mixer = spec.squeeze_at == "after_mixer"
        gated = middle if self.gates_mixer else site.width
        self.squeeze = nn.Identity() if spec.squeeze is None else spec.squeeze.build(gated)
        self.shortcut = make_shortcut(spec.shortcut, site, spec.act)
        self.drop_path = DropPath(site.drop_path)
        self.act = activation(spec.act)
        self.mixer_act = nn.Identity() if spec.mixer.self_normalised else activation(spec.act)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.act(self.norm1(self.reduce(maps)))
        branch = self.mixer_act(self.norm2(self.mixer(branch)))
        if self.gates_mixer:
            branch = self.norm3(self.expand(self.squeeze(branch)))
        else:
            branch = self.squeeze(self.norm3(self.expand(branch)))
        return self.act(self.shortcut(maps) + self.drop_path(branch))


def make_shortcut(kind: Shortcut, site: Site, act: Act) -> nn.Module:
    """Make what the incoming map goes through beside the branch, as `Bottleneck` says: nothing where it fits."""
    if site.stride == 1 and site.in_width == site.width:
        return nn.Identity()
    if kind == "mean_conv":
        pool = HalveMean() if site.stride == 2 else nn.Identity()
        return nn.Sequential(pool, conv(site.in_width, site.width), norm(site.width))
    biased = kind == "conv_bias"
    kernel = 3 if kind == "conv3_act" and site.stride == 2 else 1
    widen = conv(site.in_width, site.width, kernel, stride=site.stride, bias=biased)
    layers: list[nn.Module] = [widen, norm(site.width)]
    if kind in ("conv_act", "conv3_act"):
        layers.append(activation(act))
    return nn.Sequential(*layers)
