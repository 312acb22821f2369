"""Batch normalisations that keep what trained weights say."""

from torch import nn
from torchvision.ops import FrozenBatchNorm2d  # type: ignore[import-untyped]


def freeze_norms(network: nn.Module) -> None:
    """Put fixed scalings in the place of a network's batch normalisations, in place, with their statistics.

    Names and values of its state stay, but for the counts of batches, which go. In eval mode it gives what it gave.
    """
    for name, each in network.named_children():
        if isinstance(each, nn.BatchNorm2d):
            network.register_module(name, _frozen(each))
        else:
            freeze_norms(each)


def _frozen(norm: nn.BatchNorm2d) -> nn.Module:
    fixed = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
    for name, each in fixed.named_buffers():
        own = getattr(norm, name)
        if own is not None:
            setattr(fixed, name, own.detach().clone())
        else:
            setattr(fixed, name, each.to(next(norm.buffers()).device))
    return fixed
