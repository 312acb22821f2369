"""What a training wants of whatever computes."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Computing(Protocol):
    """What a training wants of the devices: Lightning's Fabric has it."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""

    def setup_module(self, module: nn.Module) -> nn.Module:
        """Give what computes as a module does, on the device, and hands its gradients to all processes."""

    def backward(self, tensor: Tensor) -> None:
        """Find the gradients of a loss."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in the precision that was asked for."""

    def no_backward_sync(self, module: Any) -> AbstractContextManager[Any]:  # noqa: ANN401 - Fabric's own kind
        """Keep gradients to this process for a while."""
