"""Foreign weights without numbers, for tests of what names and shapes tell, and with random ones."""

import torch
from torch import Tensor

from visiongraft.spec import Backbone
from visiongraft.weights.models import create_model
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.renaming import Layout, wanted_tensors

PICO, NANO, BOT = "coatnet_pico_rw_224", "coatnet_nano_rw_224", "botnet26t_256"
"""Networks of timm's whose weights are small."""


def shapes(name: str, source: str = "timm", **choices: object) -> dict[str, Tensor]:
    """Give the tensors of a form of a network by their names and shapes alone."""
    spec = create_model(name, **choices).spec
    layout = SOURCES[source][name]
    return {key: torch.empty(each.foreign_shape, device="meta") for key, each in wanted_tensors(spec, layout).items()}


def numbers(spec: Backbone, layout: Layout) -> dict[str, Tensor]:
    """Give random weights of a network by their foreign names: counters of 7, and small positive numbers."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.tensor(7)
        if name.endswith("num_batches_tracked")
        else torch.rand(each.foreign_shape, generator=generator) * 0.1
        for name, each in wanted_tensors(spec, layout).items()
    }
