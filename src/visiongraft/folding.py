"""The inference form of a network: normalisations inside convolutions, and convolutions that take in what follows."""

import copy
import operator
from collections.abc import Iterator
from inspect import signature
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from visiongraft.blocks.fused import Activated, Affine, FusedConv, Gated, InParts, ScaledSum
from visiongraft.blocks.head import ClassifierHead
from visiongraft.blocks.mixers import GridAttentionMixer, ListingAttentionMixer, join_heads, split_heads
from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.primitives import (
    ChannelScale,
    DropPath,
    EfficientChannelGate,
    HalveMean,
    Rectifier,
    SqueezeExciteGate,
    channel_means,
)
from visiongraft.kernels.attention import attention, axial_attention, listing_attention
from visiongraft.kernels.convolution import Ending
from visiongraft.kernels.local import local_filter
from visiongraft.network import Trunk

FOLLOWED = ("visiongraft.blocks.", "torchvision.models.")
"""Where modules are from whose calls are followed; others are left as they are, but for what is inside them."""

ATOMS = (split_heads, join_heads, channel_means, attention, axial_attention, listing_attention, local_filter)
"""Functions that are called as a whole: what they decide, they decide when they are called."""

KEPT = (PositionTables, ClassifierHead, Gated, SqueezeExciteGate, EfficientChannelGate)
"""Modules that decide by what runs around them, or that are asked for more than their forward."""

_SILENT = (nn.Identity, nn.Dropout, DropPath)
_ENDINGS: dict[type[nn.Module], Ending] = {nn.ReLU: "relu", Rectifier: "relu", nn.SiLU: "silu", nn.GELU: "gelu"}


def fold(network: nn.Module) -> nn.Module:
    """Give a copy of a network that gives the same answers sooner, and cannot learn.

    Batch normalisations become part of the convolutions before or behind them. On a CPU, convolutions add the shortcut
    and activate while their result is in the cache, and their weights are laid out once. What comes out differs by the
    rounding of these products, about 1e-6 of the logits.

    Args:
        network: any; it stays as it is. What is not understood is copied as it is.

    Returns:
        A `Network` for a `Network`, with all that it can be asked for. One of torchvision has its forward alone.
    """
    folded = copy.deepcopy(network).eval()
    for weight in folded.parameters():
        weight.requires_grad = False
    folded = _folded(folded)
    if isinstance(folded, Trunk):
        folded.stem = InParts(folded.stem)
        for stage in folded.stages:
            for name, block in list(stage.named_children()):
                setattr(stage, name, InParts(block))
    return folded


def _fold_inside(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        setattr(module, name, _folded(child))


def _folded(module: nn.Module) -> nn.Module:
    if _is_plain(module):
        return FusedConv(module)
    graph = _calls_of(module)
    if graph is None:
        _fold_inside(module)
        return module
    simplify(module, graph)
    for target in {str(node.target): None for node in graph.nodes if node.op == "call_module"}:
        part = module.get_submodule(target)
        if not isinstance(part, FusedConv):
            module.set_submodule(target, _folded(part))
    if _is_row(module):  # whose calls are a row, and whoever goes through its parts may go on to
        return nn.Sequential(
            *(module.get_submodule(str(node.target)) for node in graph.nodes if node.op == "call_module")
        )
    return fx.GraphModule(module, graph, class_name=type(module).__name__)


class _OneDeep(fx.Tracer):
    """Follows the calls of one module, and of sequences inside it, but enters no other module."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002 - its own signature
        return not _is_row(m)


def _is_row(module: nn.Module) -> bool:
    """Tell whether a module is a sequence of single parts, as of a convolution and what comes behind it."""
    plain = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    return plain and all(_is_row(each) or not len(each._modules) for each in module.children())


def _calls_of(module: nn.Module) -> fx.Graph | None:
    """Follow what a module calls; None where it decides by what it is given, or has nothing inside."""
    known = type(module).__module__.startswith(FOLLOWED) and not isinstance(module, (*KEPT, nn.Sequential))
    if next(module.children(), None) is None or not (known or _is_row(module)) or _has_options(module):
        return None
    try:
        return _OneDeep(autowrap_functions=ATOMS).trace(module)
    except Exception:  # whatever the code of others raises where it meets a name in place of a tensor
        return None


def _has_options(module: nn.Module) -> bool:
    """Tell whether a forward can be called in several ways: followed in one, it would forget the others."""
    return any(each.default is not each.empty for each in signature(module.forward).parameters.values())


def simplify(module: nn.Module, graph: fx.Graph) -> None:
    """Let parts take in what stands beside them, in a graph of a module's calls.

    Args:
        module: whose parts are exchanged; it then fits the graph, and no longer its own forward.
        graph: which loses calls.
    """
    calls = Calls(module, graph)
    for node in calls.of(*_SILENT, ChannelScale):
        if getattr(calls.part(node), "gamma", None) is None:
            calls.drop(node)
    for node in calls.of(nn.Conv2d):
        if _is_plain(calls.part(node)):
            calls.exchange(node, FusedConv(calls.part(node)))
    for node in calls.of(SqueezeExciteGate, EfficientChannelGate):
        calls.exchange(node, Gated(calls.part(node), overwrites=calls.is_fresh(node.args[0])))
    for node in calls.of(nn.BatchNorm2d, ChannelScale):
        _take_in_affine(calls, node)
    for node, *terms in calls.sums():
        _take_in_sum(calls, node, terms)
    for node in calls.of(*_ENDINGS):
        _take_in_ending(calls, node)
    for node, one, other in calls.sums():
        _take_in_scale(calls, node, one, other) or _take_in_scale(calls, node, other, one)
    graph.lint()


class Calls:
    """The calls of a module's parts, and the parts."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        self.module = module
        self.graph = graph

    def of(self, *kinds: type[nn.Module]) -> Iterator[fx.Node]:
        """Give the calls of parts of some kinds and of no subclass, which may do more, with one map in."""
        for node in list(self.graph.nodes):
            if type(self.part(node)) in kinds and len(node.args) == 1 and not node.kwargs:
                yield node

    def sums(self) -> Iterator[tuple[fx.Node, fx.Node, fx.Node]]:
        """Give the sums of two different results, each with its terms."""
        for node in list(self.graph.nodes):
            if node.op == "call_function" and node.target in (operator.add, torch.add) and not node.kwargs:
                match node.args:
                    case (fx.Node() as one, fx.Node() as other) if one is not other:
                        yield node, one, other

    def part(self, node: object) -> Any:  # noqa: ANN401 - whatever is there
        """Give what a call calls; None for functions."""
        if isinstance(node, fx.Node) and node.op == "call_module":
            return self.module.get_submodule(str(node.target))
        return None

    def source(self, node: fx.Node) -> fx.Node:
        """Give the call whose result a call of one map is given."""
        source = node.args[0]
        assert isinstance(source, fx.Node)
        return source

    def only_user(self, node: fx.Node) -> fx.Node | None:
        """Give the one call that uses a result, if there is but one."""
        return next(iter(node.users)) if len(node.users) == 1 else None

    def is_fresh(self, node: object) -> bool:
        """Tell whether a result is memory of its own, that one call uses."""
        assert isinstance(node, fx.Node)
        made = isinstance(self.part(node), _MAKERS) or (node.op == "call_function" and node.target is operator.add)
        return made and len(node.users) == 1

    def drop(self, node: fx.Node) -> None:
        """Leave a call out: who used its result gets what it was given."""
        node.replace_all_uses_with(self.source(node))
        self.graph.erase_node(node)

    def replace(self, node: fx.Node, other: fx.Node, needless: fx.Node) -> None:
        """Let another call do what a call and one before it did."""
        node.replace_all_uses_with(other)
        self.graph.erase_node(node)
        self.graph.erase_node(needless)

    def exchange(self, node: fx.Node, part: nn.Module) -> None:
        """Call another part, which has the name of the first where that is called nowhere else."""
        alone = sum(each.target == node.target for each in self.graph.nodes) == 1
        node.target = str(node.target) if alone else f"{node.target}_{node.name}"
        self.module.set_submodule(node.target, part)


_MAKERS = (FusedConv, Affine, Gated, ScaledSum, Activated, HalveMean)


def _take_in_affine(calls: Calls, node: fx.Node) -> None:
    """Let a convolution before or behind take in a normalisation or a scale, or whatever else can."""
    part = calls.part(node)
    like = part.gamma if isinstance(part, ChannelScale) else part.running_mean
    if like is None:  # it goes by each batch
        return
    (scale, shift), dtype = _affine(part), like.dtype
    before = calls.source(node)
    host = calls.part(before) if calls.only_user(before) is node else None
    behind = calls.only_user(node)
    while behind is not None and isinstance(calls.part(behind), HalveMean):  # the mean of what is scaled is scaled
        behind = calls.only_user(behind)
    if isinstance(host, FusedConv):
        host.scale_results(scale, shift)
    elif isinstance(host, Gated) and host.scale is None:
        host.take_in(scale.to(dtype), shift.to(dtype))
    elif isinstance(host, GridAttentionMixer | ListingAttentionMixer) and _is_plain(host.qkv):
        # Each result is a mean of values with weights that add up to 1, so the values can be scaled in its place.
        qkv = FusedConv(host.qkv)
        others = len(qkv.weight) - len(scale)
        qkv.scale_results(F.pad(scale, (others, 0), value=1.0), F.pad(shift, (others, 0)))
        host.set_submodule("qkv", qkv)
    elif behind is not None and _is_pointwise(calls.part(behind)):
        calls.part(behind).scale_inputs(scale, shift)
    else:
        calls.exchange(node, Affine(scale.to(dtype), shift.to(dtype), overwrites=calls.is_fresh(before)))
        return
    calls.drop(node)


def _take_in_sum(calls: Calls, node: fx.Node, terms: list[fx.Node]) -> None:
    """Let a convolution add what a sum adds to it, if the sum is all that uses it: the later one of two."""
    terms = sorted(terms, key=list(calls.graph.nodes).index, reverse=True)
    for host, other in (terms, terms[::-1]):
        part = calls.part(host)
        if isinstance(part, FusedConv) and part.ending == "none" and len(host.args) == 1 and len(host.users) == 1:
            with calls.graph.inserting_before(node):
                both = calls.graph.call_module(str(host.target), (host.args[0], other))
            calls.replace(node, both, host)
            return


def _take_in_ending(calls: Calls, node: fx.Node) -> None:
    """Let what comes before an activation activate, or let the activation write over what it is given."""
    before, part = calls.source(node), calls.part(node)
    host = calls.part(before) if calls.only_user(before) is node else None
    if isinstance(part, nn.GELU) and part.approximate != "none":
        return
    ending = _ENDINGS[type(part)]
    if isinstance(host, FusedConv | Affine | Gated) and host.ending == "none":
        host.ending = ending
        calls.drop(node)
    elif calls.is_fresh(before):
        calls.exchange(node, Activated(ending))


def _take_in_scale(calls: Calls, node: fx.Node, term: fx.Node, other: fx.Node) -> bool:
    """Let a sum scale a term, where pointwise convolutions alone see the sum: these take in the shift."""
    part, users = calls.part(term), [calls.part(each) for each in node.users]
    ends = isinstance(part, Affine) and part.ending == "none" and calls.only_user(term) is node
    if not ends or not all(_is_pointwise(each) for each in users):
        return False
    with calls.graph.inserting_before(node):
        both = calls.graph.call_module(str(term.target), (other, term.args[0]))
    calls.module.set_submodule(str(term.target), ScaledSum(part.scale, overwrites=part.overwrites))
    for each in users:
        each.scale_inputs(torch.ones_like(part.shift).flatten(), part.shift.flatten())
    calls.replace(node, both, term)
    return True


def _is_plain(part: object) -> TypeGuard[nn.Conv2d]:
    """Tell whether a part is a convolution that pads with zeros, and no more than that."""
    return type(part) is nn.Conv2d and part.padding_mode == "zeros" and not isinstance(part.padding, str)


def _is_pointwise(part: object) -> bool:
    return isinstance(part, FusedConv) and part.weight.shape[2:] == (1, 1) and part.geometry.padding == (0, 0)


def _affine(part: nn.BatchNorm2d | ChannelScale) -> tuple[Tensor, Tensor]:
    """Give what a normalisation in eval mode, or a scale, multiplies channels by and adds, in float64."""
    if isinstance(part, ChannelScale):
        assert part.gamma is not None
        return part.gamma.double(), torch.zeros_like(part.gamma, dtype=torch.float64)
    assert part.running_mean is not None
    assert part.running_var is not None
    scale = (part.running_var.double() + part.eps).rsqrt()
    if part.weight is not None:
        scale = scale * part.weight.double()
    shift = -part.running_mean.double() * scale
    return scale, shift if part.bias is None else shift + part.bias.double()
