"""What a training wants of whatever computes."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor


class Computing(Protocol):
    """What the loop wants of the devices: Lightning's Fabric has it."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""

    def backward(self, tensor: Tensor) -> None:
        """Find the gradients of a loss."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in the precision that was asked for."""

    def no_backward_sync(self, module: Any) -> AbstractContextManager[Any]:  # noqa: ANN401 - Fabric's own kind
        """Keep gradients to this process for a while."""
