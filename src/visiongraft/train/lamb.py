"""LAMB: Adam's steps, each as long as a share of the weight that it changes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lamb(Optimizer):
    """Adam whose step on a weight is as long as the weight itself times the learning rate: for very large batches.

    Args:
        groups: of parameters. Those that feel no weight decay take Adam's steps, as biases and normalisations do.
        lr: learning rate.
        betas: how much of the running means of gradients and of their squares each step keeps.
        eps: keeps the division by small gradients finite.

    Source: arXiv:1904.00962, algorithm 2, with bias correction, and without the ratio for what feels no decay, as timm
    has it. PyTorch has no LAMB, the libraries that have one are optional here or hold a hundred optimisers more.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; `closure`, if there is one, computes the gradients first and gives the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [each for each in group["params"] if each.grad is not None]
            if weights:
                steps = self._steps(weights, group)
                torch._foreach_add_(weights, steps, alpha=-group["lr"])
        return loss

    def _steps(self, weights: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """Give the steps of a group's weights, before the learning rate. All weights are worked on together."""
        states = [self.state[each] for each in weights]
        for weight, state in zip(weights, states, strict=True):
            if not state:
                state |= {"step": 0, "mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
            state["step"] += 1
        first, second = group["betas"]
        means, squares = [each["mean"] for each in states], [each["square"] for each in states]
        grads = [each.grad for each in weights if each.grad is not None]  # all of them
        torch._foreach_lerp_(means, grads, 1.0 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, value=1.0 - second)
        sizes = torch._foreach_div(squares, [1.0 - second ** each["step"] for each in states])
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, group["eps"])
        steps = torch._foreach_div(means, [1.0 - first ** each["step"] for each in states])
        torch._foreach_div_(steps, sizes)
        if group["weight_decay"]:
            torch._foreach_add_(steps, weights, alpha=group["weight_decay"])
            norms = zip(torch._foreach_norm(weights), torch._foreach_norm(steps), strict=True)
            # No look at the numbers, so that a GPU goes on.
            torch._foreach_mul_(
                steps, [torch.where((long > 0) & (short > 0), long / short, 1.0) for long, short in norms]
            )
        return list(steps)
