"""Less memory for more time: what happened inside a block is forgotten, and computed again for its gradients."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, maps: Tensor) -> Tensor:
    """Run a block, keep nothing but what went in and came out, and run it once more when gradients are asked for.

    Args:
        block: any module from one tensor to one.
        maps: what it gets.

    Output, gradients and the statistics of batch normalisations are those of `block(maps)`: the second run draws the
    same random numbers, and counts for nothing in running means and variances.

    Source: arXiv:1604.06174, by `torch.utils.checkpoint`, which by itself counts every batch twice.
    """
    if torch.compiler.is_compiling():  # there the compiler decides what to run twice, and updates statistics once
        return checkpoint(block, maps, use_reentrant=False)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _unchanged_statistics(block)

    return checkpoint(block, maps, use_reentrant=False, context_fn=contexts)


@contextmanager
def _unchanged_statistics(block: nn.Module) -> Iterator[None]:
    norms = [each for each in block.modules() if isinstance(each, _BatchNorm) and each.training]
    before = [(each.momentum, _counter(each)) for each in norms]
    try:
        for each in norms:
            each.momentum = 0.0  # mixes nothing of this batch into what is there
        yield
    finally:
        for each, (momentum, counter) in zip(norms, before, strict=True):
            each.momentum = momentum
            if counter is not None and each.num_batches_tracked is not None:
                each.num_batches_tracked.copy_(counter)


def _counter(norm: _BatchNorm) -> Tensor | None:
    return None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
