"""Who is timed: a network of the zoo, and the same network as others wrote it, with the same weights."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from visiongraft.bench.case import COMPILER, Case, images_of
from visiongraft.bench.onnx_runtime import OnnxRuntime
from visiongraft.blocks.site import Runtime
from visiongraft.errors import UnknownModel
from visiongraft.families.zoo import get_spec
from visiongraft.folding import fold
from visiongraft.network import Network
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Foreign, make
from visiongraft.weights.convert import convert, fitting_form

Peer = Literal["plain", "timm", "timm-channels-last", "timm-compiled", "timm-onnxruntime", "torchvision"]
"""Another form of a network: our own plain one, timm's in several, torchvision's.

timm's is as it is made, with channels_last, with that and compiled for these images with its weights as constants, or
computed by ONNX Runtime.
"""

PEERS: tuple[Peer, ...] = get_args(Peer)

QUICK: tuple[Peer, ...] = ("plain", "timm", "timm-channels-last", "torchvision")
"""Those that need no preparation."""

OURS = "ours"
"""What our own network is called among them."""

_SEED = 0


@dataclass(frozen=True)
class Contender:
    """A network that takes its turn.

    Args:
        name: "ours", or a `Peer`.
        network: on its device.
        layout: how it wants its images laid out in memory.
    """

    name: str
    network: nn.Module
    layout: torch.memory_format

    def images(self, case: Case, in_chans: int, device: torch.device) -> Tensor:
        """Give the images of a case as this network takes them."""
        return images_of(case, in_chans, device).contiguous(memory_format=self.layout)


def contenders(case: Case, peers: Sequence[Peer], *, device: torch.device) -> list[Contender]:
    """Make our network and those that it is compared with, all with the same random weights.

    Args:
        case: what will be asked of them.
        peers: who is to be beside ours; those that have no such network are left out.
        device: where they compute.

    Raises:
        UnknownModel: if the zoo has none of that name.
        MissingExtra: if a library is not installed.
    """
    spec = get_spec(case.model).at(case.image)
    torch.manual_seed(_SEED)
    foreign = dict(_foreign(spec, peers))
    first = next(iter(foreign.values()), None)
    if first is None:
        ours = Network(spec)
        shake(ours)
    else:  # torchvision and timm have one set of names where they share a network
        shake(first)
        tensors = first.state_dict()
        form = fitting_form(tensors, source="timm", name=spec.name, image=spec.image)
        ours = Network(form)
        ours.load_state_dict(convert(tensors, source="timm", name=form))
        for other in list(foreign.values())[1:]:
            other.load_state_dict(tensors)
    found = [Contender(OURS, fold(ours) if case.mode == "folded" else ours, torch.channels_last)]
    for peer in peers:
        if peer == "plain":
            plain = Network(ours.spec, Runtime(kernels="plain", channels_last=False))
            plain.load_state_dict(ours.state_dict())
            found.append(Contender(peer, plain, torch.contiguous_format))
        elif (library := peer.partition("-")[0]) in foreign:
            found.append(_peer(peer, copy.deepcopy(foreign[library]), case))
    for each in found:
        each.network.to(device)
    return found


def _peer(peer: Peer, network: nn.Module, case: Case) -> Contender:
    """Give a network of others the form that it is to be raced in."""
    form = peer.partition("-")[2]
    layout = torch.channels_last if form in ("channels-last", "compiled") else torch.contiguous_format
    network = network.to(memory_format=layout)
    if form == "compiled":
        network.compile(**COMPILER[case.direction])
    elif form == "onnxruntime":
        network = OnnxRuntime(network)
    return Contender(peer, network, layout)


def shake(network: nn.Module) -> None:
    """Give what begins as a constant random numbers: a branch that is multiplied by 0 would hide what it computes."""
    source = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all()):
                tensor += 0.1 * torch.rand(tensor.shape, generator=source)


def _foreign(spec: Backbone, peers: Sequence[Peer]) -> Iterator[tuple[str, nn.Module]]:
    """Build the networks of the libraries that have one of this name."""
    for library in dict.fromkeys(peer.partition("-")[0] for peer in peers if peer != "plain"):
        try:
            yield library, make(Foreign(f"{library}:{spec.name}", spec.head.num_classes, spec.image, spec.in_chans))
        except UnknownModel:
            continue
