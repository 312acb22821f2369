"""The moving average of a network's weights over the steps of its training."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Make a copy of a network that is to hold the moving average of its weights and statistics.

    Its `update_parameters(network)` after a step keeps a share `decay` of the average and takes the rest from the
    network; the first one takes all of it.

    Args:
        network: on its device.
        decay: in (0, 1).
    """
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
