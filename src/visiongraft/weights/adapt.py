"""The weights of a network, in another form of it: other classes, channels, image size or rates of dropping."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.site import Runtime
from visiongraft.errors import WeightsError
from visiongraft.network import Network
from visiongraft.spec import Backbone

CLASSIFIER = "head.classifier."
"""How the names of the classifier's tensors begin."""


def adapted(
    source: Network,
    spec: Backbone,
    *,
    classifier: Literal["kept", "fresh"] = "kept",
    runtime: Runtime | None = None,
) -> Network:
    """Build a network with the weights of another form of it.

    Position tables are resampled for another image size. Where the number of classes differs, or a fresh classifier is
    asked for, that is random. The first convolution is fitted to other channels as timm does: for one channel its
    kernels are summed, so that gray images give what they gave in red, green and blue; for more they are repeated and
    scaled so that their sum stays.

    Args:
        source: whose weights to take; it is left as it is.
        spec: what to build.
        classifier: whether one that fits is kept.
        runtime: what follows from the machine.

    Raises:
        WeightsError: if the two differ in their blocks.
    """
    check_alike(source.spec, spec)
    network = Network(spec, runtime)
    tensors = source.state_dict()
    if source.spec.image != spec.image:
        tensors |= _resized_tables(source, network)
    if classifier == "fresh" or source.num_classes != spec.head.num_classes:
        tensors = {name: each for name, each in tensors.items() if not name.startswith(CLASSIFIER)}
        tensors |= {name: each for name, each in network.state_dict().items() if name.startswith(CLASSIFIER)}
    if source.spec.in_chans != spec.in_chans:
        first = next(name for name, each in tensors.items() if each.ndim == _CONV_NDIM)
        tensors[first] = with_channels(tensors[first], spec.in_chans)
    network.load_state_dict(tensors)
    return network


def with_channels(weight: Tensor, channels: int) -> Tensor:
    """Fit the weight of a first convolution, (out, in, h, w), to images of so many channels; see `adapted`."""
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    own = weight.shape[1]
    repeated = weight.repeat(1, -(-channels // own), 1, 1)[:, :channels]
    return repeated * (own / channels)


_CONV_NDIM = 4


@torch.no_grad()
def _resized_tables(source: Network, network: Network) -> dict[str, Tensor]:
    """Give the position tables of a network as they are for the grids of another: what `Network.at` stores."""
    grids = {name: each.grid for name, each in network.named_modules() if isinstance(each, PositionTables)}
    return {
        f"{name}.{key}": table
        for name, each in source.named_modules()
        if isinstance(each, PositionTables)
        for key, table in each.resized(grids[name]).items()
    }


def check_alike(source: Backbone, spec: Backbone) -> None:
    """See that two specs differ only in what weights can be fitted to.

    Raises:
        WeightsError: if they do not.
    """

    def tensors(each: Backbone) -> dict[str, torch.Size]:
        same = replace(each, in_chans=3, head=replace(each.head, num_classes=0)).at(source.image)
        with torch.device("meta"):
            return {name: tensor.shape for name, tensor in Network(same).state_dict().items()}

    same_blocks = [stage.blocks for stage in source.stages] == [stage.blocks for stage in spec.stages]
    if not same_blocks or tensors(source) != tensors(spec):
        raise WeightsError(
            f"These are weights of {source.name}, and {spec.name} has other parts: they cannot be taken over."
            f" Ask for {source.name}, or give weights of {spec.name}."
        )
