"""Small forms of the zoo's networks, for tests that run over all of it."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any, Literal, get_origin, get_type_hints

import pytest
import torch
from torch import nn

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.mixers import GridAttention, ListingAttentionMixer
from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.site import Block
from visiongraft.blocks.stems import DeepStem, Stem
from visiongraft.families.zoo import get_spec, list_models
from visiongraft.network import Network
from visiongraft.spec import Backbone, Stage
from visiongraft.weights.models import create_model

PICOS = list_models("*_pico")

STEM_WIDTH = 8
"""Channels of a narrow stem, where these are not those of a stage."""

MIXER_WIDTH = 16
"""Channels of the narrowest mixer: two heads of eight channels, or eight times two that share a kernel."""


def shallow(name: str, num_classes: int = 5) -> Backbone:
    """Give a network of the zoo with at most two equal blocks in a row and four in a stage: same kinds and widths."""
    spec = get_spec(name)
    stages = []
    for stage in spec.stages:
        blocks = [block for block, run in groupby(stage.blocks) for _ in range(min(2, len(list(run))))]
        stages.append(replace(stage, blocks=tuple(blocks[:4])))
    return replace(spec, stages=tuple(stages), head=replace(spec.head, num_classes=num_classes))


def narrow(name: str, num_classes: int = 5) -> Backbone:
    """Give a network of the zoo with few channels and each kind of block once: small enough for numbers at any size.

    Stem, head, strides and the blocks' choices stay. Widths that are equal stay equal and others different, since a
    shortcut depends on it. Behind the first block of a stage only those stay that no stage before had in their place.
    """
    spec = get_spec(name)
    unit = math.lcm(*(_unit(block) for stage in spec.stages for block in stage.blocks))
    ranks = sorted({stage.width for stage in spec.stages})
    widths = {width: unit * rank for rank, width in enumerate(ranks, start=1)}
    stages: list[Stage] = []
    seen: set[Block] = set()
    for stage in spec.stages:
        first, *others = (_narrow_block(block) for block in stage.blocks)
        others = [block for block in dict.fromkeys(others) if block not in seen]
        seen.update(others)
        stages.append(replace(stage, width=widths[stage.width], blocks=(first, *others)))
    hidden = spec.head.hidden and stages[-1].width
    cell_hidden = spec.head.cell_hidden and stages[-1].width
    head = replace(spec.head, num_classes=num_classes, hidden=hidden, cell_hidden=cell_hidden)
    stem = _narrow_stem(spec.stem, widths.get(spec.stem.width, STEM_WIDTH))
    return replace(spec, stem=stem, stages=tuple(stages), head=head)


def parts(spec: Backbone) -> set[object]:
    """Give the stem, the head and every block, each with what its place asks of it."""
    # The widths of its hidden layers are those of the last stage.
    head = replace(spec.head, hidden=spec.head.hidden and 1, cell_hidden=spec.head.cell_hidden and 1)
    return {spec.stem, head}.union(*_parts_of_stages(spec))


def brief(names: Iterable[str]) -> dict[str, Backbone]:
    """Give narrow networks without the stages that bring nothing new, where cost grows with the number of blocks.

    The smallest of each family stay whole. All of them together have the parts that they had.
    """
    found: dict[str, Backbone] = {}
    seen: set[object] = set()
    for name in names:
        spec = narrow(name)
        stages = []
        for stage, new in zip(spec.stages, _parts_of_stages(spec), strict=True):
            if name in PICOS or not new <= seen:
                stages.append(stage)
            seen |= new
        found[name] = replace(spec, stages=tuple(stages) or spec.stages[-1:])
    return found


def _parts_of_stages(spec: Backbone) -> list[set[object]]:
    found = []
    for in_width, stage in zip(spec.widths, spec.stages, strict=False):
        strided = stage.stride > 1 and stage.stride_in
        first = (stage.blocks[0], strided, in_width == stage.width)
        found.append({first, *((block, False, True) for block in stage.blocks[1:])})
    return found


def kinds() -> list[str]:
    """List a few networks whose narrow forms together have all parts that those of the whole zoo have."""
    names, seen = [], set()
    for name in [*PICOS, *list_models()]:
        new = parts(narrow(name))
        if not new <= seen:
            names.append(name)
            seen |= new
    return names


def words_of(word: object) -> Iterator[object]:
    """Give a part of a description and all parts that it is made of."""
    if is_dataclass(word):
        yield word
        for field in fields(word):
            yield from words_of(getattr(word, field.name))
    elif isinstance(word, tuple):
        for each in word:
            yield from words_of(each)


def choices_of(spec: Backbone) -> set[object]:
    """Give every word with each of its choices, and what the place asks of it in which the choice is made.

    The place belongs to it, since a shortcut and a halving are chosen everywhere and computed in some places. A choice
    is also which word stands inside, or whether there is a number; but which number only where a few are listed.
    """
    found: set[object] = set()
    for part in parts(spec):
        whole, *place = part if isinstance(part, tuple) else (part,)
        for word in words_of(whole):
            found.add((type(word), *place))
            for name, hint in _hints(type(word)).items():
                value = getattr(word, name)
                listed = get_origin(hint) is Literal or isinstance(value, str | bool)
                found.add((type(word), name, value if listed else type(value), *place))
    return found


def speakers(specs: dict[str, Backbone]) -> list[str]:
    """List few that together make every choice: the smallest of each family, then always what brings the most new."""
    choices = {name: choices_of(spec) for name, spec in specs.items()}
    names = [name for name in specs if name in PICOS]
    missing = set().union(*choices.values()).difference(*(choices[name] for name in names))
    while missing:
        names.append(max(choices, key=lambda name: len(choices[name] & missing)))
        missing -= choices[names[-1]]
    return names


def awake(spec: Backbone, **options: object) -> Network:
    """Make a network in which every part matters, in eval mode.

    Fresh networks start with silent residual branches, nearly uniform attention, small position tables and statistics
    of no image. All of these would hide what a part does wrong.
    """
    torch.manual_seed(0)
    network = create_model(spec, **options)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        nn.init.uniform_(module.weight, 0.5, 1.0)
        module.momentum = 1.0
    for name, weight in network.named_parameters():
        if name.endswith("qkv.weight"):
            nn.init.normal_(weight, std=2 * weight.shape[1] ** -0.5)
    for module in network.modules():
        if isinstance(module, ListingAttentionMixer):  # it scales no logit, and large ones choose a cell for good
            module.qkv.weight.data *= (module.qkv.out_channels // 3 // module.heads) ** -0.25
        if isinstance(module, PositionTables):
            for table in module.parameters():
                nn.init.normal_(table)
    with torch.no_grad():
        network(torch.randn(4, spec.in_chans, 64, 64))
    for module in norms:
        module.momentum = 0.1
    return network.eval()


@contextmanager
def unwritten() -> Iterator[None]:
    """Make layers whose numbers are whatever the memory held, for networks that are given others at once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_"):
            patch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)
        yield


@cache
def _hints(word: type) -> dict[str, Any]:
    hints = get_type_hints(word)
    return {field.name: hints[field.name] for field in fields(word)}


def _unit(block: Block) -> int:
    """Give the smallest width of which every multiple suits a block: its mixer gets a multiple of 16 channels."""
    ratio = block.ratio if isinstance(block, Bottleneck) else 1.0
    return next(unit for unit in range(MIXER_WIDTH, 4096, MIXER_WIDTH) if unit * ratio % MIXER_WIDTH == 0)


def _narrow_block(block: Block) -> Block:
    if isinstance(block, RelativeTransformer):
        return replace(block, head_dim=MIXER_WIDTH // 2)
    if isinstance(block, Bottleneck) and isinstance(block.mixer, GridAttention):
        return replace(block, mixer=replace(block.mixer, heads=2))
    return block


def _narrow_stem(stem: Stem, width: int) -> Stem:
    return replace(stem, widths=(width, width, width)) if isinstance(stem, DeepStem) else replace(stem, width=width)


KINDS = kinds()
"""At least one network of each kind: every word of the vocabulary that the zoo speaks, with every value of its choices
and in every kind of place. A new network with a new part joins by itself."""

BRIEF = brief(KINDS)

SPEAKERS = speakers(BRIEF)
"""Few of these kinds that together make every choice of every word in every kind of place, each choice by itself and
not with every other one. Among them are the smallest of each family. For checks that cost much."""
