"""Optimisers and learning rate of a recipe."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from visiongraft.blocks.positions import PositionTables
from visiongraft.train.recipe import Recipe

_SMALLEST_NORM = 1e-7


class MuonAdamW(AdamW):
    """Muon for weights that are matrices, AdamW for everything else, under one learning rate.

    Muon turns the running mean of a matrix' gradient into the nearest matrix whose singular values are all about 1, so
    that every direction learns at the same pace. Its steps are scaled to the size that AdamW's have. A convolution
    that is not depthwise counts as a matrix from its inputs to its outputs.

    Args:
        matrices: weights of two dimensions or more.
        others: groups of parameters for AdamW.
        lr: learning rate of both.
        weight_decay: of the matrices, decoupled as in AdamW.

    Source: K. Jordan, "Muon: an optimizer for hidden layers" (2024); the scale is that of arXiv:2502.16982. PyTorch's
    own Muon takes two-dimensional parameters only, which pointwise convolutions are not.
    """

    momentum = 0.95

    def __init__(
        self, matrices: Iterable[nn.Parameter], others: Iterable[dict[str, object]], *, lr: float, weight_decay: float
    ) -> None:
        groups = [{"params": list(matrices), "weight_decay": weight_decay, "muon": True}]
        super().__init__([*groups, *({**group, "muon": False} for group in others)], lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; `closure`, if there is one, computes the gradients first and gives the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["muon"]:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._step_matrix(weight, group["lr"], group["weight_decay"])
                        weight.grad = None  # AdamW passes over it
        super().step()
        return loss

    def _step_matrix(self, weight: nn.Parameter, lr: float, weight_decay: float) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        mean = state["momentum"]
        mean.lerp_(weight.grad, 1.0 - self.momentum)
        ahead = weight.grad.lerp(mean, self.momentum)  # Nesterov's
        step = orthogonalized(ahead.flatten(1))
        scale = 0.2 * math.sqrt(max(step.shape))
        weight.mul_(1.0 - lr * weight_decay).add_(step.view_as(weight), alpha=-lr * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Give a matrix with the same singular vectors and all singular values near 1, by five Newton-Schulz steps.

    Source: as for `MuonAdamW`. The polynomial is chosen to lift small singular values quickly; they end between 0.5
    and 1.3 instead of at 1, which is as good here.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    wide = wide / wide.norm().clamp(min=_SMALLEST_NORM)
    for _ in range(5):
        square = wide @ wide.t()
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.t()


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Make the recipe's optimiser. Weight decay pulls at weights, not at biases, normalisations or position tables."""
    matrices, decayed, free = parameter_groups(network)
    free_group: dict[str, object] = {"params": free, "weight_decay": 0.0}
    if recipe.opt == "muon":
        others = [{"params": decayed, "weight_decay": recipe.weight_decay}, free_group]
        return MuonAdamW(matrices, others, lr=recipe.lr, weight_decay=recipe.weight_decay)
    groups = [{"params": [*matrices, *decayed], "weight_decay": recipe.weight_decay}, free_group]
    return AdamW(groups, lr=recipe.lr, fused=True)


def parameter_groups(
    network: nn.Module,
) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Split the parameters into matrices inside the network, other weights, and all that feels no decay.

    The first layer, the classifier and depthwise convolutions are no matrices in Muon's sense; biases, normalisations
    and position tables are no weights.
    """
    tables = {
        id(each) for module in network.modules() if isinstance(module, PositionTables) for each in module.parameters()
    }
    weights = [each for each in network.parameters() if each.ndim > 1 and id(each) not in tables]
    matrices = [each for each in weights[1:-1] if each.shape[1] > 1]
    inner = {id(each) for each in matrices}
    outer = {id(each) for each in weights} - inner
    return (
        matrices,
        [each for each in weights if id(each) in outer],
        [each for each in network.parameters() if id(each) not in inner | outer],
    )


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """Make the learning rate follow `lr_share` over `steps` steps."""
    warmup = min(round(recipe.warmup_epochs * steps / recipe.epochs), steps - 1)
    return LambdaLR(optimizer, lambda step: lr_share(step, steps=steps, warmup=warmup))


def lr_share(step: int, *, steps: int, warmup: int) -> float:
    """Give the share of the highest learning rate at a step: up in a line, then down along half a cosine.

    Args:
        step: from 0.
        steps: of the whole run; from there on the share is 0.
        warmup: steps of the rise. Its first step already has a share above 0, its last is just below 1.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return 0.5 * (1.0 + math.cos(math.pi * progress))
