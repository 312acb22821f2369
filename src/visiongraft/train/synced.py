"""Batch normalisation over the parts of a batch that several processes hold."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from visiongraft.network import Network


def synchronised(network: Network, device: torch.device) -> Network:
    """Let every batch-norm of a network see the whole batch, and not the part of its process alone.

    The network is changed in place; names and values of its state stay. On a GPU this is PyTorch's `SyncBatchNorm`,
    which takes no tensors of a CPU; there it is ours.
    """
    if device.type == "cuda":
        converted: Network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return converted
    for each in network.modules():
        if type(each) is nn.BatchNorm2d:
            each.__class__ = SyncedBatchNorm2d  # nothing but what it computes while training is another
    return network


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` whose mean and variance, while training, are those of the maps of all processes together."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps (b, c, h, w); every process must take part."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
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
