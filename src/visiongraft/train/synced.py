"""Batch normalisation over the parts of a batch that several processes hold."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from visiongraft.errors import GraftError

FOLLOWED: dict[type[object], Callable[[nn.Module, Tensor], Tensor]] = {}
"""Batch-norms of others that do more than normalise: what such a module does with its normalised maps."""


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """Let every batch-norm of a network see the whole batch, and not the part of its process alone.

    The network is changed in place; names and values of its state stay. On a GPU this is PyTorch's `SyncBatchNorm`,
    which takes no tensors of a CPU; there it is ours.

    Raises:
        GraftError: for a network of others with batch-norms of a class of its own, whose means would stay apart.
    """
    norms = [each for each in network.modules() if isinstance(each, _BatchNorm)]
    odd = [each for each in norms if type(each) not in (nn.BatchNorm2d, nn.SyncBatchNorm, *FOLLOWED)]
    if odd:
        raise GraftError(
            f"{_name_of(network)} has a {type(odd[0]).__name__}, whose means several processes cannot share here."
            " Train it with one."
        )
    forms = {kind: _shared_form(kind, device.type) for kind in dict.fromkeys(map(type, norms))}
    for each in norms:  # nothing but what it computes while training is another
        each.__class__ = forms[type(each)]
    return network


def _name_of(network: nn.Module) -> str:
    return str(getattr(getattr(network, "spec", None), "name", type(network).__name__))


def _shared_form(kind: type[object], device: str) -> type[_BatchNorm]:
    """Give the class whose means are those of all processes in the place of another one."""
    own = _OfGPUs if device == "cuda" or kind is nn.SyncBatchNorm else SyncedBatchNorm2d
    if kind not in FOLLOWED:
        return own
    follow = FOLLOWED[kind]

    class Followed(own):  # type: ignore[misc, valid-type]
        """It, and what the other one does with normalised maps."""

        def forward(self, x: Tensor) -> Tensor:
            """Normalise maps (b, c, h, w) and go on; every process must take part."""
            return follow(self, super().forward(x))

    Followed.__name__ = Followed.__qualname__ = f"Synced{kind.__name__}"
    return Followed


@contextmanager
def uncounted(network: nn.Module) -> Iterator[None]:
    """Keep the maps of this process out of all means and variances; it takes part in finding those of the others.

    For a process that has no image of a part of a batch, of which others have some. Its own maps are normalised as in
    a validation, and nothing is learnt from that.
    """
    norms = [each for each in network.modules() if isinstance(each, SyncedBatchNorm2d | _OfGPUs)]
    for each in norms:
        each.counts = False
    try:
        yield
    finally:
        for each in norms:
            each.counts = True


def _beside(seen: Tensor, x: Tensor, norm: nn.BatchNorm2d | nn.SyncBatchNorm) -> Tensor:
    """Add maps that do not count to what came of none, whose gradients the other processes wait for."""
    with torch.no_grad():
        maps = x.to(seen.dtype)
        shown = F.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return torch.cat([seen, shown])


class _OfGPUs(nn.SyncBatchNorm):
    """PyTorch's, in which a process may keep out."""

    counts = True
    process_group = None  # all processes

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps (b, c, h, w); every process must take part."""
        if self.counts or not self.training:
            return super().forward(x)
        # In float32: of nothing in half precision, PyTorch would send fewer bytes than the others expect.
        return _beside(super().forward(x[:0].float()), x, self).to(x.dtype)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` whose mean and variance, while training, are those of the maps of all processes together."""

    counts = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps (b, c, h, w); every process must take part."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        return self._together(x) if self.counts else _beside(self._together(x[:0]), x, self)

    def _together(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        count = torch.tensor(float(x.numel() // x.shape[1]), device=x.device)
        dist.all_reduce(count)
        wide = x.float()
        mean = _Summed.apply(wide.sum((0, 2, 3))) / count  # c
        centred = wide - mean[:, None, None]
        var = _Summed.apply(centred.square().sum((0, 2, 3))) / count  # c
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(var * count / (count - 1.0), share)
        shown = centred * (self.weight * torch.rsqrt(var + self.eps))[:, None, None] + self.bias[:, None, None]
        return shown.to(x.dtype)


class _Summed(torch.autograd.Function):
    """The sum over all processes; so is its gradient, since each of them goes on from the sum."""

    @staticmethod
    def forward(ctx: FunctionCtx, numbers: Tensor) -> Tensor:
        del ctx
        summed = numbers.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, slopes: Tensor) -> Tensor:
        del ctx
        summed = slopes.clone()
        dist.all_reduce(summed)
        return summed
