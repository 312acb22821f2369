"""Muon, for weights that are matrices, and AdamW for everything else."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

_SMALLEST_NORM = 1e-7


class MuonAdamW(AdamW):
    """Muon for weights that are matrices, AdamW for everything else, under one learning rate.

    Muon turns the running mean of a matrix' gradient into the nearest matrix whose singular values are all about 1, so
    that every direction learns at the same pace. Its steps are scaled to the size that AdamW's have. A convolution
    counts as a matrix from its inputs to its outputs, and one with groups as a matrix for each group.

    Args:
        matrices: weights of two dimensions or more, by the number of groups that their outputs fall into.
        others: groups of parameters for AdamW.
        lr: learning rate of both.
        weight_decay: of the matrices, decoupled as in AdamW.
        betas: AdamW's.
        eps: AdamW's.

    Source: K. Jordan, "Muon: an optimizer for hidden layers" (2024); the scale is that of arXiv:2502.16982. PyTorch's
    own Muon takes two-dimensional parameters only, which pointwise convolutions are not.
    """

    momentum = 0.95

    def __init__(
        self,
        matrices: Mapping[int, Sequence[nn.Parameter]],
        others: Iterable[dict[str, object]],
        *,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        muon = [
            {"params": list(weights), "weight_decay": weight_decay, "matrices": groups}
            for groups, weights in matrices.items()
        ]
        groups = [*muon, *({**group, "matrices": 0} for group in others)]
        super().__init__(groups, lr=lr, betas=betas, eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; `closure`, if there is one, computes the gradients first and gives the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["matrices"]:
                self._step_matrices(group)
        super().step()
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        weights = [each for each in group["params"] if each.grad is not None]
        steps = [self._averaged(each).flatten(1).unflatten(0, (group["matrices"], -1)) for each in weights]
        for weight, step in zip(weights, orthogonalized(steps), strict=True):
            scale = 0.2 * math.sqrt(max(step.shape[1:]))
            weight.mul_(1.0 - group["lr"] * group["weight_decay"])
            weight.add_(step.reshape(weight.shape), alpha=-group["lr"] * scale)
            weight.grad = None  # AdamW passes over it

    def _averaged(self, weight: nn.Parameter) -> Tensor:
        """Give the running mean of a weight's gradient, and look ahead as Nesterov does."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())  # AdamW asks for one when a state is loaded, and passes over these
        mean = state["momentum"]
        mean.lerp_(weight.grad, 1.0 - self.momentum)
        return weight.grad.lerp(mean, self.momentum)


# Odd polynomials a s + b s^3 + c s^5 that carry a singular value s from [0.02, 1] to within a tenth of 1, one after
# the other: each is the one that is nearest to 1, at worst, on the interval that the one before it leaves.
_TOWARDS_ONE = ((7.7063, -22.0935, 16.2314), (3.2160, -2.4134, 0.5022), (2.2189, -1.5949, 0.4111))


def orthogonalized(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Give matrices with the same singular vectors and all singular values near 1, by three Newton-Schulz steps.

    Singular values below a fiftieth of the matrix' Euclidean norm stay below 0.9.

    Args:
        matrices: each of shape (count, rows, columns), a stack of matrices of one shape.

    Source: as for `MuonAdamW`; Jordan's five steps use one polynomial. One for each step, as in arXiv:2505.16932,
    needs three. They are taken on each matrix times its transpose, which is as small as its shorter side, and then
    applied at once. Those of one shorter side are worked on together, which is faster.
    """
    tall = [each.shape[1] > each.shape[2] for each in matrices]
    squares = [each.mT @ each if high else each @ each.mT for each, high in zip(matrices, tall, strict=True)]
    places: dict[int, list[int]] = {}
    for place, square in enumerate(squares):
        places.setdefault(square.shape[-1], []).append(place)
    found = list(matrices)
    for alike in places.values():
        factors = _inverse_roots(torch.cat([squares[place] for place in alike]))
        for place, factor in zip(alike, factors.split([len(matrices[place]) for place in alike]), strict=True):
            found[place] = matrices[place] @ factor if tall[place] else factor @ matrices[place]
    return found


def _inverse_roots(squares: Tensor) -> Tensor:
    """Give about the inverse square root of each of `squares` (b, r, r), symmetric and with no negative eigenvalue.

    Their traces are the squared norms of the matrices that they are made of.
    """
    sizes = squares.diagonal(dim1=1, dim2=2).sum(1).clamp(min=_SMALLEST_NORM**2)[:, None, None]
    square, product = squares / sizes, None
    for place, (a, b, c) in enumerate(_TOWARDS_ONE):
        step = torch.baddbmm(square, square, square, beta=b, alpha=c)
        step.diagonal(dim1=1, dim2=2).add_(a)
        product = step if product is None else step @ product
        if place < len(_TOWARDS_ONE) - 1:
            square = step @ square @ step
    assert product is not None
    return product / sizes.sqrt()
