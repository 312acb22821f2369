"""Batch normalisations that keep what trained weights say."""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from visiongraft.errors import SpecError
from visiongraft.train.synced import FOLLOWED


def freeze_norms(network: nn.Module) -> None:
    """Put fixed scalings in the place of a network's batch normalisations, in place, with their statistics.

    Names and values of its state stay, but for the counts of batches, which go. In eval mode it gives what it gave.

    Raises:
        SpecError: for a batch normalisation of others that does more, and nobody knows what.
    """
    for name, each in network.named_children():
        if isinstance(each, nn.BatchNorm2d):
            network.register_module(name, _frozen(each))
        else:
            freeze_norms(each)


def _frozen(norm: nn.BatchNorm2d) -> nn.Module:
    follow = FOLLOWED.get(type(norm))
    if follow is None and type(norm).forward is not nn.BatchNorm2d.forward:
        raise SpecError(
            f"A {type(norm).__name__} does more than normalise, and cannot be frozen here. Give norm='train' or"
            " 'sync'."
        )
    fixed = FrozenBatchNorm2d(norm.num_features, eps=norm.eps) if follow is None else _Followed(norm, follow)
    for name, each in fixed.named_buffers(recurse=False):
        own = getattr(norm, name)
        if own is not None:
            setattr(fixed, name, own.detach().clone())
        else:
            setattr(fixed, name, each.to(next(norm.buffers()).device))
    return fixed


class _Followed(FrozenBatchNorm2d):  # type: ignore[misc]  # torchvision has no types
    """A fixed scaling, and what a batch normalisation of others does with its maps, such as to activate them."""

    def __init__(self, norm: nn.BatchNorm2d, follow: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__(norm.num_features, eps=norm.eps)
        for name, each in norm.named_children():
            self.add_module(name, each)
        self.follow = follow

    def forward(self, x: Tensor) -> Tensor:
        """Scale maps (b, c, h, w), and go on."""
        return self.follow(self, super().forward(x))
