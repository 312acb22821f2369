"""Small forms of the zoo's networks, for tests that run over all of it."""

from dataclasses import replace
from itertools import groupby

from visiongraft.families.zoo import get_spec, list_models
from visiongraft.spec import Backbone

PICOS = list_models("*_pico")

KINDS = [
    *PICOS,
    "seresnet50",
    "nonlocal_resnet50",
    "botnet50_001",
    "botnet_s1_50",
    "botnet_t3",
    "botnet50_content",
    "botnet50_relative",
    "botnet50_content_absolute",
    "coatnet_0",
    "coatnet_0_dw",
    "coatnet_vit_rel",
    "convmixer_512_12",
    "cotnext50",
    "se_cotnetd50",
    "se_cotnetd152",
]
"""At least one network of each kind: every word of the vocabulary, with every value of its choices."""

HUGE = 200_000_000
"""Networks with more parameters than this are only ever made on the meta device."""


def shallow(name: str, num_classes: int = 5) -> Backbone:
    """Give a network of the zoo with at most two equal blocks in a row and four in a stage: same kinds and widths."""
    spec = get_spec(name)
    stages = []
    for stage in spec.stages:
        blocks = [block for block, run in groupby(stage.blocks) for _ in range(min(2, len(list(run))))]
        stages.append(replace(stage, blocks=tuple(blocks[:4])))
    return replace(spec, stages=tuple(stages), head=replace(spec.head, num_classes=num_classes))
