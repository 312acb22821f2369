"""Mixers: drop-in replacements for a spatial convolution, and that convolution itself."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from visiongraft.blocks.positions import AxisVectors, CellVectors
from visiongraft.blocks.primitives import (
    HalveBlur,
    HalveMean,
    SqueezeExcite,
    activation,
    channel_means,
    conv,
    norm,
    start_normal,
)
from visiongraft.blocks.site import Mixer, Site
from visiongraft.errors import SpecError
from visiongraft.kernels.attention import attention, axial_attention, listing_attention
from visiongraft.kernels.local import local_filter

Position = Literal["relative", "relative_only", "absolute", "none", "listing"]


@dataclass(frozen=True)
class Conv:
    """A spatial convolution.

    Args:
        kernel: side of the window in cells, odd.
        groups: into how many independent groups the channels fall.
    """

    self_normalised: ClassVar[bool] = False

    kernel: int = 3
    groups: int = 1

    def build(self, site: Site) -> nn.Module:
        """Make the convolution for this place."""
        return conv(site.in_width, site.width, self.kernel, stride=site.stride, groups=self.groups)


@dataclass(frozen=True)
class GatedConv:
    """A convolution, normalised and activated, whose channels are then scaled by squeeze-and-excitation.

    Args:
        kernel: side of the window in cells, odd.
        squeeze: the gate, its hidden layer a share of the incoming width.

    Source: the convolution blocks of SE-CoTNetD (arXiv:2107.12292), that is arXiv:2004.08955 with radix 1.
    """

    self_normalised: ClassVar[bool] = True

    kernel: int = 3
    squeeze: SqueezeExcite = field(default_factory=lambda: SqueezeExcite(1 / 4, "silu", 32, "batch"))

    def build(self, site: Site) -> nn.Module:
        """Make the module for this place."""
        return nn.Sequential(
            conv(site.in_width, site.width, self.kernel, stride=site.stride),
            norm(site.width),
            activation(self.squeeze.act),
            self.squeeze.build(site.width, of=site.in_width),
        )


@dataclass(frozen=True)
class BlurAfter:
    """Another mixer at stride 1, followed by an anti-aliased halving where the place has a stride.

    Args:
        mixer: what runs before the blur.

    Source: SE-CoTNetD-152 of the CoTNet authors.
    """

    self_normalised: ClassVar[bool] = True

    mixer: Mixer

    def __post_init__(self) -> None:
        if not self.mixer.self_normalised:
            raise SpecError(
                f"BlurAfter needs a mixer with a normalisation of its own, not {type(self.mixer).__name__}."
                " Use GatedConv or ContextualTransformer."
            )

    def build(self, site: Site) -> nn.Module:
        """Make the module for this place."""
        if site.stride == 1:
            return self.mixer.build(site)
        still = Site(site.in_width, site.width, 1, site.grid, runtime=site.runtime)
        return nn.Sequential(self.mixer.build(still), HalveBlur())


@dataclass(frozen=True)
class GridAttention:
    """Multi-head self-attention over all cells of the map, with positions along the two axes: BoTNet's mixer.

    Args:
        heads: attention heads; they divide the width.
        position: what is added to the content logits. "relative": the query times a vector for the row offset and
            one for the column offset. "relative_only": these without the content. "absolute": the query times
            a vector for the key's row and column. "none": nothing. "listing": what the widely copied listings of
            BoTNet compute, for weights that were trained with them.
        key_dim: channels of a head's queries and keys, or None for as many as its values have.

    Where the place has a stride, the attention runs on the incoming grid and its result is averaged over 2x2 cells.

    Source: arXiv:2101.11605 and its authors' published listing: queries are scaled before both kinds of logits, the
    position tables are shared by the heads, there is no bias and no output projection. The widely copied ones, which
    "listing" means, are other people's: `ListingAttentionMixer` says what they do instead.
    """

    self_normalised: ClassVar[bool] = False

    heads: int = 4
    position: Position = "relative"
    key_dim: int | None = None

    def build(self, site: Site) -> nn.Module:
        """Make the module for this place."""
        if self.heads < 1 or site.width % self.heads:
            raise SpecError(
                f"GridAttention(heads={self.heads}) does not divide a width of {site.width}."
                f" Use a number of heads that does, such as {_largest_divisor(site.width, max(self.heads, 1))}."
            )
        if self.key_dim is not None and self.key_dim < 1:
            raise SpecError(f"GridAttention(key_dim={self.key_dim}) leaves no channels to compare. Use at least 1.")
        if self.position == "listing" and self.key_dim is not None:
            raise SpecError('GridAttention(position="listing") has keys as wide as its values: leave key_dim out.')
        return ListingAttentionMixer(self, site) if self.position == "listing" else GridAttentionMixer(self, site)


class GridAttentionMixer(nn.Module):
    """See `GridAttention`."""

    positions: AxisVectors | CellVectors | None

    def __init__(self, spec: GridAttention, site: Site) -> None:
        super().__init__()
        self.heads = spec.heads
        self.content = spec.position != "relative_only"
        self.key_dim = spec.key_dim or site.width // spec.heads
        self.path = site.runtime.kernels
        self.qkv = conv(site.in_width, 2 * spec.heads * self.key_dim + site.width)
        start_normal(self.qkv.weight, std=0.01)
        if spec.position == "none":
            self.positions = None
        else:
            self.positions = (
                CellVectors(self.key_dim, site.grid, std=self.key_dim**-0.5)
                if spec.position == "absolute"
                else AxisVectors(self.key_dim, site.grid)
            )
        self.pool = HalveMean() if site.stride == 2 else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        query, key, value = split_heads(self.qkv(maps), self.heads, self.key_dim)
        query = query * self.key_dim**-0.5
        if self.positions is None:
            mixed = attention(query, key, value, path=self.path)
        elif isinstance(self.positions, CellVectors):
            (cells,) = self.positions((height, width))
            mixed = attention(query, key + cells.to(key.dtype), value, path=self.path)
        else:
            rows, columns = self.positions((height, width))
            mixed = axial_attention(query, key if self.content else None, value, rows, columns, path=self.path)
        return self.pool(join_heads(mixed, height, width))


class ListingAttentionMixer(nn.Module):
    """The attention of the public listings of BoTNet, which is not the paper's: `GridAttention(position="listing")`.

    energy[i, j] = q_i . k_j + p_i . q_j, where p_i is the vector of row and column of cell i. Nothing is scaled.
    Queries, keys and values have a bias. Each head has position vectors of its own, which start as large as there.

    Source: github.com/leaderj1001/BottleneckTransformers at 142e965. There the table called rel_w holds the rows and
    rel_h the columns. Other grids than the tables' own raise there; here the tables are resized.
    """

    def __init__(self, spec: GridAttention, site: Site) -> None:
        super().__init__()
        self.heads = spec.heads
        self.path = site.runtime.kernels
        self.qkv = nn.Conv2d(site.in_width, 3 * site.width, 1)  # with the weights that PyTorch starts it with
        self.positions = CellVectors(site.width, site.grid, std=1.0)
        self.pool = HalveMean() if site.stride == 2 else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        query, key, value = split_heads(self.qkv(maps), self.heads)
        (cells,) = self.positions((height, width))
        cells = cells.unflatten(1, (self.heads, -1)).transpose(0, 1)  # n l d
        mixed = listing_attention(query, key, value, cells, path=self.path)
        return self.pool(join_heads(mixed, height, width))


@dataclass(frozen=True)
class ContextualTransformer:
    """CoTNet's mixer: a static context from a convolution, a dynamic one from kernels made for every cell.

    The keys are a 3x3 convolution of the map. From each cell and its key, two pointwise layers make 3x3 kernels, which
    mix the values around the cell; eight channels share a kernel. A gate over both contexts sums them.

    Args:
        kernel: side of the window in cells, odd.
        cardinality: into how many groups the pointwise layers and the mixing fall: 1 for CoTNet, 2 for CoTNeXt.
        fusion: what becomes of the two contexts: a "gate" weighs them, channel by channel; "sum" adds them; "static"
            and "dynamic" give that one alone. All but the gate are the paper's ablation.

    Where the place has a stride, the map is first averaged over 3x3 cells.

    Source: arXiv:2107.12292 and the authors' code. The mixing is local and has no softmax, unlike most public copies.
    """

    self_normalised: ClassVar[bool] = True

    kernel: int = 3
    cardinality: int = 1
    fusion: Literal["gate", "sum", "static", "dynamic"] = "gate"

    def build(self, site: Site) -> nn.Module:
        """Make the module for this place."""
        if site.in_width != site.width:
            raise SpecError(f"ContextualTransformer keeps the width: {site.in_width} came in, {site.width} is wanted.")
        if site.width % (8 * self.cardinality):
            raise SpecError(
                f"ContextualTransformer(cardinality={self.cardinality}) needs a width that {8 * self.cardinality}"
                f" divides, not {site.width}."
            )
        if self.fusion == "static":
            pool = nn.AvgPool2d(3, stride=2, padding=1) if site.stride == 2 else nn.Identity()
            return nn.Sequential(pool, *_static_context(self, site.width))
        return ContextualTransformerMixer(self, site)


class ContextualTransformerMixer(nn.Module):
    """See `ContextualTransformer`."""

    def __init__(self, spec: ContextualTransformer, site: Site) -> None:
        super().__init__()
        width, groups, taps = site.width, spec.cardinality, spec.kernel**2
        shared = width // 8
        self.groups = groups
        self.taps = taps
        self.adds_static = spec.fusion != "dynamic"
        self.path = site.runtime.kernels
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if site.stride == 2 else nn.Identity()
        self.key = nn.Sequential(*_static_context(spec, width))
        self.value = nn.Sequential(conv(width, width, groups=groups), norm(width))
        self.kernels = nn.Sequential(
            conv(2 * width, width // 2, groups=groups),
            norm(width // 2),
            activation("relu"),
            conv(width // 2, taps * shared, groups=groups, bias=True),
            nn.GroupNorm(shared, taps * shared),
        )
        self.norm = norm(width)
        self.act = activation("silu")
        hidden = max(width // 2, 32)
        self.gate = (
            nn.Sequential(
                conv(width, hidden, bias=True), norm(hidden), activation("relu"), conv(hidden, 2 * width, bias=True)
            )
            if spec.fusion == "gate"
            else None
        )

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.pool(maps)
        key = self.key(maps)
        both = torch.cat([maps, key], 1) if self.groups == 1 else torch.stack([maps, key], 2).flatten(1, 2)
        dynamic = self.act(self.norm(self._mix(self.value(maps), self.kernels(both))))
        if self.gate is None:
            return dynamic + key if self.adds_static else dynamic
        means = channel_means(dynamic + key)[..., None, None]
        share = self.gate(means).unflatten(1, (-1, 2)).softmax(dim=2)  # b c 2 1 1
        return dynamic * share[:, :, 0] + key * share[:, :, 1]

    def _mix(self, value: Tensor, kernels: Tensor) -> Tensor:
        """Filter each group of channels by its own kernels: groups are folded into the batch."""
        batch, channels, height, width = value.shape
        folded = value.reshape(batch * self.groups, channels // self.groups, height, width)
        kernels = kernels.reshape(batch * self.groups, -1, self.taps, height, width)
        return local_filter(folded, kernels, path=self.path).reshape(batch, channels, height, width)


def _static_context(spec: ContextualTransformer, width: int) -> tuple[nn.Module, ...]:
    return conv(width, width, spec.kernel, groups=4 * spec.cardinality), norm(width), activation("relu")


def split_heads(qkv: Tensor, heads: int, key_dim: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Cut maps (b, n*(k+k+d), h, w) of order [query | key | value], each (head, dim), into (b, n, l, k), again, and d.

    Args:
        qkv: the maps.
        heads: n.
        key_dim: k, or None where it is d.
    """
    cells = qkv.flatten(2).transpose(1, 2)  # b l n(k+k+d), a view where qkv is channels_last
    keys = qkv.shape[1] // 3 if key_dim is None else heads * key_dim
    parts = cells.split([keys, keys, qkv.shape[1] - 2 * keys], 2)
    query, key, value = (each.unflatten(2, (heads, -1)).transpose(1, 2) for each in parts)
    return query, key, value


def join_heads(mixed: Tensor, height: int, width: int) -> Tensor:
    """Lay heads (b, n, l, d) side by side as maps (b, n*d, h, w)."""
    cells = mixed.transpose(1, 2).flatten(2)  # b l nd
    return cells.transpose(1, 2).unflatten(2, (height, width))


def _largest_divisor(width: int, at_most: int) -> int:
    return next(each for each in range(at_most, 0, -1) if width % each == 0)
