"""A network spread over processes, each of which holds a part of every tensor: for networks that one cannot hold."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from visiongraft.network import Network
from visiongraft.train.team import Team


def shard(network: Network, mesh: DeviceMesh) -> Network:
    """Spread a network over all processes, in place, block by block. One on the meta device gets memory, not numbers.

    Source: PyTorch's fully sharded data parallelism, the second one ("FSDP2"). While a block computes, its tensors are
    whole in every process; before and after, each holds its part.
    """
    mesh = mesh["data_parallel"]
    network.to(memory_format=torch.contiguous_format)  # FSDP2 takes no other
    for stage in network.stages:
        for block in stage.children():
            fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    if any(each.is_meta for each in network.parameters()):
        network.to_empty(device=mesh.device_type)
    return network


def fill(network: Network, whole: Network | None) -> None:
    """Give a network that was spread the numbers of a whole one, which only the first process has."""
    tensors = _in_rows(whole.state_dict()) if whole is not None else {}
    set_model_state_dict(network, tensors, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
    own = dict(whole.named_buffers()) if whole is not None else {}
    for name, buffer in network.named_buffers():  # some are no part of the state
        if whole is not None:
            buffer.copy_(own[name])
        dist.broadcast(buffer, src=0)


def is_spread(network: nn.Module) -> bool:
    """Tell whether a network's tensors are spread over processes."""
    return any(isinstance(each, DTensor) for each in network.parameters())


def _in_rows(tensors: Any) -> Any:  # noqa: ANN401 - any nest of dicts and lists
    """Lay tensors out row by row: what is sent to other processes is their memory, in whatever order it is."""
    return tree_map(lambda each: each.contiguous() if isinstance(each, torch.Tensor) else each, tensors)


def whole(tensors: Any, team: Team) -> Any:  # noqa: ANN401 - any nest of dicts and lists
    """Put tensors together that are spread over processes, wherever they are in a nest of dicts and lists.

    Every process must call it. One tensor after the other is whole on the devices, and goes to the CPU of the first
    process; the others get None in its place. Where nothing is spread, this gives the very same tensors.
    """

    def put_together(each: object) -> object:
        if not isinstance(each, DTensor):
            return each
        full = each.full_tensor()
        return full.cpu() if team.leads else None

    return tree_map(put_together, tensors)


def outline(tensors: Any) -> Any:  # noqa: ANN401 - any nest of dicts and lists
    """Give the same nest with tensors that have shapes and no numbers; single numbers stay."""
    return tree_map(lambda each: each.to("meta") if isinstance(each, torch.Tensor) and each.ndim else each, tensors)


def load(network: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Any]) -> None:
    """Take up whole states of a network and its optimiser.

    What is spread takes its parts, one tensor after the other, from the first process; the others need an outline.
    """
    if not is_spread(network):
        network.load_state_dict(tensors["network"])
        optimizer.load_state_dict(tensors["optimizer"])
        return
    own = {} if any(each.is_meta for each in tensors["network"].values()) else _in_rows(tensors["network"])
    set_model_state_dict(network, own, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
    state = tensors["optimizer"]
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    parts = {
        number: {name: _like(value, parameters[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({"state": parts, "param_groups": state["param_groups"]})


def _like(value: object, parameter: torch.Tensor) -> object:
    """Spread a tensor as the parameter that it belongs to is; what has another shape belongs to every process."""
    if isinstance(value, torch.Tensor) and isinstance(parameter, DTensor) and value.shape == parameter.shape:
        own = torch.empty(value.shape, dtype=value.dtype) if value.is_meta else value.contiguous()
        return distribute_tensor(own.to(parameter.device), parameter.device_mesh, parameter.placements)
    return value
