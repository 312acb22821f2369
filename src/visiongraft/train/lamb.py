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
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.sub_(group["lr"] * self._step_on(weight, group))
        return loss

    def _step_on(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """Give the step of one weight, before the learning rate."""
        state = self.state[weight]
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(weight.grad, 1.0 - first)
        state["square"].mul_(second).addcmul_(weight.grad, weight.grad, value=1.0 - second)
        size = (state["square"] / (1.0 - second ** state["step"])).sqrt_().add_(group["eps"])
        step = state["mean"] / (1.0 - first ** state["step"]) / size
        if not group["weight_decay"]:
            return step
        step.add_(weight, alpha=group["weight_decay"])
        long, short = weight.norm(), step.norm()
        ratio = torch.where((long > 0) & (short > 0), long / short, 1.0)  # no look at the numbers: a GPU goes on
        return step.mul_(ratio)
