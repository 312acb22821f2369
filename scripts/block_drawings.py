"""Draws the blocks of a network from its spec."""

from collections.abc import Callable, Sequence
from typing import Any

from scripts.drawings import Drawing
from visiongraft.blocks.basic import Basic
from visiongraft.blocks.bottleneck import Bottleneck, Shortcut
from visiongraft.blocks.convmixer import ConvMixerBlock
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.mixers import BlurAfter, ContextualTransformer, Conv, GatedConv, GridAttention
from visiongraft.blocks.non_local import NonLocal
from visiongraft.blocks.positions import PlaneTable
from visiongraft.blocks.primitives import Act, EfficientChannelAttention, Gate
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.site import Block, Site
from visiongraft.kernels.types import Grid

ACTS = {"relu": "ReLU", "silu": "SiLU", "gelu": "GELU"}
NORMS = {"batch": "batch norm", "layer": "layer norm of each cell"}
POOLS = {"max": "maxima of 2×2", "max_overlapping": "overlapping maxima of 3×3", "mean": "means of 2×2"}

ENTRY = 0
"""The box of what comes in: the first of every drawing."""


def map_of(width: int, grid: Grid) -> str:
    """Say what flows: channels and cells."""
    return f"{width} channels, {grid[0]}×{grid[1]} cells"


def strided(stride: int) -> str:
    """Say that a layer takes a stride, if it does."""
    return f", stride {stride}" if stride > 1 else ""


def gate(squeeze: Gate) -> str:
    """Say what scales the channels."""
    if isinstance(squeeze, EfficientChannelAttention):
        return "efficient channel attention"
    return f"squeeze-and-excitation, {ACTS[squeeze.act]}"


def basic(drawing: Drawing, block: Basic, site: Site) -> None:
    """Draw the block of ResNet-18 around its mixer."""
    act = ACTS[block.act]
    drawing.add(f"3×3 convolution to {site.width}{strided(site.stride)}", "learnt", parts=("conv",))
    drawing.add(f"batch norm, {act}", "learnt", parts=("norm1",))
    end = drawing.add(mixer_lines(block.mixer, site.behind), "mixer", parts=("mixer",))
    if not block.mixer.self_normalised:
        end = drawing.add("batch norm, starting at zero", "learnt", parts=("norm2",))
    drawing.residual(ENTRY, end, shortcut_lines("conv", site, block.act), "shortcut")
    drawing.add(act, "fixed")


def bottleneck(drawing: Drawing, block: Bottleneck, site: Site) -> None:
    """Draw ResNet's block around its mixer."""
    middle, act = int(site.width * block.ratio), ACTS[block.act]
    drawing.add(f"1×1 convolution to {middle}", "learnt", parts=("reduce",))
    drawing.add(f"batch norm, {act}", "learnt", parts=("norm1",))
    drawing.add(mixer_lines(block.mixer, site.inside(middle)), "mixer", parts=("mixer",))
    if not block.mixer.self_normalised:
        drawing.add(f"batch norm, {act}", "learnt", parts=("norm2",))
    if block.squeeze is not None and block.squeeze_at == "after_mixer":
        drawing.add(gate(block.squeeze), "learnt", parts=("squeeze",))
    drawing.add(f"1×1 convolution to {site.width}", "learnt", parts=("expand",))
    end = drawing.add("batch norm, starting at zero", "learnt", parts=("norm3",))
    if block.squeeze is not None and block.squeeze_at == "output":
        end = drawing.add(gate(block.squeeze), "learnt", parts=("squeeze",))
    drawing.residual(ENTRY, end, shortcut_lines(block.shortcut, site, block.act), "shortcut")
    drawing.add(act, "fixed")


def shortcut_lines(kind: Shortcut, site: Site, act: Act) -> list[str]:
    """Say what the shortcut does; nothing where it does nothing."""
    if site.stride == 1 and site.in_width == site.width:
        return []
    if kind == "mean_conv":
        return [f"means of 2×2{strided(site.stride)}"] * (site.stride > 1) + ["1×1 convolution", "batch norm"]
    then = f", {ACTS[act]}" if kind in ("conv_act", "conv3_act") else ""
    bias = " with bias" if kind == "conv_bias" else ""
    size = "3×3" if kind == "conv3_act" and site.stride > 1 else "1×1"
    return [f"{size} convolution{bias}{strided(site.stride)}", f"batch norm{then}"]


def mixer_lines(mixer: object, site: Site) -> list[str]:
    """Say what a mixer does, in the few words that a box has room for."""
    if isinstance(mixer, Conv):
        groups = f", {mixer.groups} groups" if mixer.groups > 1 else ""
        return [f"{mixer.kernel}×{mixer.kernel} convolution{groups}{strided(site.stride)}"]
    if isinstance(mixer, GridAttention):
        pool = ["then means of 2×2, stride 2"] * (site.stride > 1)
        whose = "the listing's " if mixer.position == "listing" else "self-"
        return [
            f"{whose}attention over all cells,",
            f"{mixer.heads} heads of {site.width // mixer.heads} channels",
            *pool,
        ]
    if isinstance(mixer, ContextualTransformer):
        pool = ["means of 3×3, stride 2, then"] * (site.stride > 1)
        return [*pool, "contextual transformer"]
    if isinstance(mixer, GatedConv):
        return [
            f"{mixer.kernel}×{mixer.kernel} convolution{strided(site.stride)}",
            f"batch norm, {ACTS[mixer.squeeze.act]}",
            gate(mixer.squeeze),
        ]
    if isinstance(mixer, BlurAfter):
        return [*mixer_lines(mixer.mixer, site), *["blur, stride 2"] * (site.stride > 1)]
    return [type(mixer).__name__]


def mbconv(drawing: Drawing, block: MBConv, site: Site) -> None:
    """Draw CoAtNet's inverted bottleneck."""
    act = ACTS[block.act]
    wide = (site.width if block.base == "output" else site.in_width) * block.expansion
    drawing.add("batch norm" + (f", {act}" if block.act_after == "all" else ""), "learnt", parts=("norm1",))
    if block.stride_at == "pool" and site.stride > 1:
        drawing.add("means of 2×2, stride 2", "fixed")
    at = strided(site.stride if block.stride_at == "expansion" else 1)
    drawing.add(f"1×1 convolution to {wide}{at}", "learnt", parts=("expand",))
    drawing.add(f"batch norm, {act}", "learnt", parts=("norm2",))
    at = strided(site.stride if block.stride_at == "depthwise" else 1)
    drawing.add(f"{block.kernel}×{block.kernel} depthwise convolution{at}", "learnt", parts=("depthwise",))
    last = ((f"batch norm, {act}", "norm3"), (gate(block.squeeze), "squeeze"))
    for text, part in last[::-1] if block.squeeze_at == "before_norm" else last:
        drawing.add(text, "learnt", parts=(part,))
    end = drawing.add(f"1×1 convolution to {site.width}", "learnt", parts=("project",))
    drawing.residual(ENTRY, end, pooled_shortcut(block.pool, site), "shortcut")


def pooled_shortcut(pool: str, site: Site) -> list[str]:
    """Say what CoAtNet's shortcut does; nothing where it does nothing."""
    lines = [f"{POOLS[pool]}, stride 2"] if site.stride > 1 else []
    return lines + ["1×1 convolution"] * (site.in_width != site.width)


def relative_transformer(drawing: Drawing, block: RelativeTransformer, site: Site) -> None:
    """Draw CoAtNet's transformer block."""
    width = block.attended(site)
    drawing.add(NORMS[block.norm], "learnt", parts=("norm1",))
    if site.stride > 1:
        drawing.add(f"{POOLS[block.pool]}, stride 2", "fixed")
    drawing.add("linear layer to query, key, value", "learnt", parts=("qkv",))
    stored = isinstance(block.position, PlaneTable)
    drawing.add(
        [
            f"{width // block.head_dim} heads of {block.head_dim} channels:",
            "softmax of query · key + bias of the",
            "offset, " + ("from a table" if stored else "from a small network"),
        ],
        "mixer",
        parts=("bias",),
    )
    end = drawing.add(f"linear layer to {site.width}", "learnt", parts=("project",))
    if block.scale is not None:
        end = drawing.add("a factor for each channel", "learnt", parts=("scale1",))
    half = drawing.residual(ENTRY, end, pooled_shortcut(block.pool, site), "shortcut")
    drawing.add(NORMS[block.norm], "learnt", parts=("norm2",))
    end = drawing.add(
        [f"linear layer to {block.expansion * site.width}, {ACTS[block.act]}", f"linear layer to {site.width}"],
        "learnt",
        parts=("mlp",),
    )
    if block.scale is not None:
        end = drawing.add("a factor for each channel", "learnt", parts=("scale2",))
    drawing.residual(half, end, [], "")


def convmixer_block(drawing: Drawing, block: ConvMixerBlock, _: Site) -> None:
    """Draw ConvMixer's block."""
    act = ACTS[block.act]
    drawing.add(f"{block.kernel}×{block.kernel} depthwise convolution", "learnt", parts=("depthwise",))
    drawing.add(act, "fixed")
    end = drawing.add("batch norm", "learnt", parts=("norm1",))
    drawing.residual(ENTRY, end, [], "")
    drawing.add("1×1 convolution", "learnt", parts=("pointwise",))
    drawing.add(act, "fixed")
    drawing.add("batch norm", "learnt", parts=("norm2",))


def non_local(drawing: Drawing, _: NonLocal, site: Site) -> None:
    """Draw the non-local block."""
    drawing.add("1×1 convolution to query, key, value", "learnt", parts=("qkv",))
    drawing.add(["self-attention over all cells, one head", f"of {site.width // 2} channels, no positions"], "fixed")
    drawing.add(f"1×1 convolution to {site.width}", "learnt", parts=("project",))
    end = drawing.add("batch norm, starting at zero", "learnt", parts=("norm",))
    drawing.residual(ENTRY, end, [], "")


def grid_attention(drawing: Drawing, mixer: GridAttention, site: Site) -> None:
    """Draw BoTNet's mixer with relative positions, or what public listings have in its place."""
    assert mixer.position in ("relative", "listing")
    paper = mixer.position == "relative"
    height, width = ((2 * side - 1 if paper else side) for side in site.grid)
    made = drawing.add("1×1 convolution" + ("" if paper else " with bias"), "learnt", column=1, parts=("qkv",))
    scale = f", times 1/√{site.width // mixer.heads}" if paper else ""
    query = drawing.add(f"queries{scale}", "map", row=2, after=[(made, "down")])
    key = drawing.add("keys", "map", column=1, row=2, after=[(made, "down")])
    value = drawing.add("values", "map", column=2, row=2, after=[(made, "down")])
    place = drawing.add(
        [
            "query · vector of the row offset" if paper else "the looking cell's row and column",
            "+ query · vector of the column offset" if paper else "vectors · query of the cell looked at",
            f"({height} and {width} vectors{'' if paper else ' for each head'})",
        ],
        "learnt",
        row=3,
        parts=("positions",),
        after=[(query, "down")],
    )
    content = drawing.add("query · key", "fixed", column=1, row=3, after=[(query, "down"), (key, "down")])
    drawing.add("+", "sum", column=1, row=4, after=[(content, "down"), (place, "side")])
    heads = "one head" if mixer.heads == 1 else f"{mixer.heads} heads"
    soft = drawing.add(f"softmax over all cells, {heads}", "fixed", column=1)
    drawing.add("mean of the values by these weights", "fixed", column=1, after=[(soft, "down"), (value, "side")])
    if site.stride > 1:
        drawing.add("means of 2×2, stride 2", "fixed", column=1)


def contextual_transformer(drawing: Drawing, mixer: ContextualTransformer, site: Site) -> None:
    """Draw CoTNet's mixer."""
    size, groups = f"{mixer.kernel}×{mixer.kernel}", mixer.cardinality
    apart = f", {groups} groups" if groups > 1 else ""
    made = [f"1×1 convolution to {mixer.kernel**2} × {site.width // 8}{apart}", "group norm: kernels"]
    value, key, kernels = contexts(
        drawing, site, key=f"{size} convolution, {4 * groups} groups", made=made, part="kernels", apart=apart
    )
    mixed = [f"each cell's {size} kernels on the values,", "eight channels to a kernel"]
    drawing.add(mixed, "mixer", after=[(value, "down"), (kernels, "side")])
    dynamic = drawing.add("batch norm, SiLU: dynamic context", "learnt", parts=("norm",))
    drawing.add(
        [
            "sum of both contexts, each channel",
            "weighted by a gate: means, 1×1,",
            "batch norm, ReLU, 1×1, softmax of two",
        ],
        "learnt",
        column=1,
        parts=("gate",),
        after=[(dynamic, "side"), (key, "side")],
    )


def simplified_contextual_transformer(drawing: Drawing, mixer: SimplifiedContextualTransformer, site: Site) -> None:
    """Draw what public listings have in the place of CoTNet's mixer."""
    kernel, groups = mixer.kernel, f", {mixer.groups} groups" if mixer.groups > 1 else ""
    made = [f"1×1 convolution to {kernel**2} × {site.width}"]
    value, key, _ = contexts(drawing, site, key=f"{kernel}×{kernel} convolution{groups}", made=made, part="weights")
    soft = drawing.add(f"mean of the {kernel**2}, softmax over all cells", "fixed", column=1)
    mixed = drawing.add("times the value of the cell itself", "mixer", after=[(value, "down"), (soft, "side")])
    drawing.add("+", "sum", column=1, after=[(mixed, "side"), (key, "side")])


def contexts(
    drawing: Drawing, site: Site, *, key: str, made: Sequence[str], part: str, apart: str = ""
) -> tuple[int, int, int]:
    """Draw how both forms of CoTNet's mixer begin: the values, the keys' static context, and what is made of both.

    Args:
        drawing: what to add to.
        site: of the mixer.
        key: how the keys come about.
        made: the last lines about what is made of both.
        part: the module that makes it.
        apart: how the 1x1 convolutions are grouped, if they are.

    Returns:
        The boxes of the three.
    """
    start = drawing.add("means of 3×3, stride 2", "fixed", column=1) if site.stride > 1 else ENTRY
    row, below = drawing.nodes[start].row, (start, "down")
    values = [f"1×1 convolution{apart}", "batch norm: values"]
    value = drawing.add(values, "learnt", row=row + 1, parts=("value",), after=[below])
    static = [key, "batch norm, ReLU: static context"]
    right = drawing.add(static, "learnt", column=2, row=row + 1, parts=("key",), after=[below])
    both = [f"of both: 1×1 convolution to {site.width // 2}{apart}", "batch norm, ReLU", *made]
    middle = drawing.add(both, "learnt", column=1, parts=(part,), after=[below, (right, "side")])
    return value, right, middle


Draw = Callable[[Drawing, Any, Site], None]
"""Adds the boxes of a word of the vocabulary, at a site, below the box of what comes in."""

BLOCKS: dict[type, Draw] = {
    Basic: basic,
    Bottleneck: bottleneck,
    MBConv: mbconv,
    RelativeTransformer: relative_transformer,
    ConvMixerBlock: convmixer_block,
    NonLocal: non_local,
}

MIXERS: dict[type, Draw] = {
    GridAttention: grid_attention,
    ContextualTransformer: contextual_transformer,
    SimplifiedContextualTransformer: simplified_contextual_transformer,
}
"""They have three columns, and what flows enters and leaves in the middle one."""


def drawn(word: Block, site: Site, title: str) -> Drawing:
    """Draw a block, or a mixer, at its place."""
    drawing, column = Drawing(title), int(type(word) in MIXERS)
    drawing.add(map_of(site.in_width, site.grid), "map", column=column)
    (BLOCKS | MIXERS)[type(word)](drawing, word, site)
    drawing.add(map_of(site.width, site.out_grid), "map", column=column)
    return drawing
