"""Foreign weights without numbers, for tests of what names and shapes tell."""

import torch
from torch import Tensor

from visiongraft.weights.models import create_model
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.renaming import wanted_tensors

PICO, NANO, BOT = "coatnet_pico_rw_224", "coatnet_nano_rw_224", "botnet26t_256"
"""Networks of timm's whose weights are small."""


def shapes(name: str, source: str = "timm", **choices: object) -> dict[str, Tensor]:
    """Give the tensors of a form of a network by their names and shapes alone."""
    spec = create_model(name, **choices).spec
    layout = SOURCES[source][name]
    return {key: torch.empty(each.foreign_shape, device="meta") for key, each in wanted_tensors(spec, layout).items()}
