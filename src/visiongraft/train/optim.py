"""Optimisers of a course, and which of a network's parameters they take, and how fast these learn."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import SGD, AdamW, Optimizer

from visiongraft.blocks.positions import PositionTables
from visiongraft.network import Trunk
from visiongraft.surgery.network import body_of
from visiongraft.train.course import Course
from visiongraft.train.lamb import Lamb
from visiongraft.train.muon import MuonAdamW


def make_optimizer(network: nn.Module, course: Course) -> Optimizer:
    """Make the course's optimiser. Weight decay pulls at weights, not at biases, normalisations or position tables.

    Parameters that need no gradient are left out. With `layer_decay`, earlier layers learn more slowly.
    """
    optimizer = _optimizer(network, course)
    if course.layer_decay < 1.0:
        trunk = body_of(network)
        assert isinstance(trunk, Trunk), "depth is what our networks tell"
        scales = rate_scales(trunk, course.layer_decay)
        optimizer.param_groups[:] = [part for group in optimizer.param_groups for part in _by_scale(group, scales)]
    return optimizer


def _optimizer(network: nn.Module, course: Course) -> Optimizer:
    matrices, decayed, free = parameter_groups(network)
    free_group: dict[str, Any] = {"params": free, "weight_decay": 0.0}
    betas, eps = (course.beta1, course.beta2), course.opt_eps
    if course.opt == "muon":
        others = [{"params": decayed, "weight_decay": course.weight_decay}, free_group]
        return MuonAdamW(matrices, others, lr=course.lr, weight_decay=course.weight_decay, betas=betas, eps=eps)
    weights = [*(each for group in matrices.values() for each in group), *decayed]
    groups = [{"params": weights, "weight_decay": course.weight_decay}, free_group]
    if course.opt == "lamb":
        return Lamb(groups, lr=course.lr, betas=betas, eps=eps)
    if course.opt == "adamw":
        return AdamW(groups, lr=course.lr, betas=betas, eps=eps, fused=True)
    whole = not any(isinstance(each, DTensor) for each in weights)  # PyTorch's fused SGD takes no parts of tensors
    return SGD(groups, lr=course.lr, momentum=course.momentum, nesterov=course.opt == "nesterov", fused=whole)


def parameter_groups(
    network: nn.Module,
) -> tuple[dict[int, list[nn.Parameter]], list[nn.Parameter], list[nn.Parameter]]:
    """Split the parameters that learn into matrices inside the network, other weights, and all that feels no decay.

    The first layer, the classifier and depthwise convolutions are no matrices in Muon's sense; biases, normalisations
    and position tables are no weights.

    Returns:
        The matrices by the number of groups of their convolution, which is 1 for most; then the others, and the rest.
    """
    learning = [each for each in network.parameters() if each.requires_grad]
    tables = {
        id(each) for module in network.modules() if isinstance(module, PositionTables) for each in module.parameters()
    }
    groups = {id(each.weight): each.groups for each in network.modules() if isinstance(each, nn.Conv2d)}
    weights = [each for each in network.parameters() if each.ndim > 1 and id(each) not in tables]
    matrices: dict[int, list[nn.Parameter]] = {}
    for each in weights[1:-1]:
        if each.shape[1] > 1 and each.requires_grad:
            matrices.setdefault(groups.get(id(each), 1), []).append(each)
    inner = {id(each) for same in matrices.values() for each in same}
    outer = {id(each) for each in weights} - inner
    return (
        matrices,
        [each for each in weights if id(each) in outer and each.requires_grad],
        [each for each in learning if id(each) not in inner | outer],
    )


def rate_scales(network: Trunk, decay: float) -> dict[int, float]:
    """Give the share of the learning rate that each parameter learns with, by the parameter's id.

    It is 1 at the head, and falls by the factor `decay` from block to block, and once more to the stem.

    Source: arXiv:2106.08254, section 4.1, on blocks as timm counts them.
    """
    patterns = network.group_matcher()
    places: dict[int, tuple[int, ...]] = {}
    for name, each in network.named_parameters():
        block = re.match(patterns["blocks"], name)
        if re.match(patterns["stem"], name):
            places[id(each)] = (0,)
        else:
            places[id(each)] = (1, *(int(number) for number in block.groups())) if block else (2,)
    depths = {place: depth for depth, place in enumerate(sorted(set(places.values())))}
    last = len(depths) - 1
    return {key: decay ** (last - depths[place]) for key, place in places.items()}


def _by_scale(group: dict[str, Any], scales: Mapping[int, float]) -> list[dict[str, Any]]:
    """Split a group into one for each share of the learning rate."""
    found: dict[float, list[nn.Parameter]] = {}
    for each in group["params"]:
        found.setdefault(scales[id(each)], []).append(each)
    return [{**group, "params": each, "lr_scale": scale} for scale, each in found.items()]
