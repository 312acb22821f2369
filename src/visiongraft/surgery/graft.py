"""`visiongraft.graft`: a copy of a network with mixers at some of its places."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, NamedTuple, cast

from torch.nn.parallel import DataParallel, DistributedDataParallel

from visiongraft.blocks.site import Block
from visiongraft.errors import SurgeryError
from visiongraft.surgery.foreign import Grafted
from visiongraft.surgery.network import ForeignNetwork
from visiongraft.surgery.operation import operate
from visiongraft.surgery.rehearsal import Net
from visiongraft.surgery.report import GraftReport
from visiongraft.surgery.words import Graft, Loss, Mode


class Grafting(NamedTuple, Generic[Net]):
    """A grafted network, and what was done to it."""

    network: Net
    report: GraftReport


def graft(
    net: Net,
    at: str,
    mixer: Block,
    *,
    mode: Mode = "replace",
    example: object = None,
    lose: Sequence[Loss] = (),
) -> Grafting[Net]:
    """Graft a mixer into a copy of a network. The network itself is left as it is.

    Args:
        net: any module that gives the same with the same weights: of torchvision, timm, ours or yours.
        at: where, as a pattern of modules' names: "layer4.*.conv2". A star is any part of a name between two dots, two
            stars are any number of such parts.
        mixer: what to build there: a frozen dataclass with `build(site)`, such as `GridAttention(heads=4)`.
        mode: "replace" swaps spatial convolutions for mixers of the same shape and stride; what stands around them
            stays, normalisations too. "insert" adds a residual mixer behind a module: what the network gives stays as
            it is, to the bit, until it learns.
        example: images (b, c, h, w) as the network takes them, or a tuple of its arguments: from it follow the grids,
            that is the size that position tables are stored for. By default one image of the network's native size,
            where it tells that, or of 224 pixels. Where the network can only be followed by running it, it is.
        lose: what of the convolutions may go that the mixer cannot keep: "groups", "dilation".

    Returns:
        The copy, of the same class, with the names of the weights that it keeps; and a report, which can be printed.

    Raises:
        SurgeryError: if nothing is at that place, something that cannot be replaced is, or the mixer does not fit, or
            the network cannot be followed.
    """
    if isinstance(net, DataParallel | DistributedDataParallel) or hasattr(net, "_orig_mod"):
        raise SurgeryError(f"This network is in a {type(net).__name__}. Graft what is inside, and wrap the result.")
    wanted = Graft(at, mixer, mode, tuple(lose))
    if not isinstance(net, ForeignNetwork):
        return Grafting(*operate(net, wanted, example=example))
    native = (net.spec.in_chans, *net.spec.image)
    body, report = operate(net.body, wanted, example=example, native=native)
    known = net.spec if isinstance(net.spec, Grafted) else Grafted(net.spec, ())
    spec = replace(known, grafts=(*known.grafts, wanted))
    return Grafting(cast(Net, ForeignNetwork(spec, body)), report)
