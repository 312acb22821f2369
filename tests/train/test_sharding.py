"""Only the first process ever holds a whole network that is spread, tensor by tensor."""

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from visiongraft.train.sharding import outline, whole
from visiongraft.train.team import Team


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        dist.destroy_process_group()


def test_what_is_spread_comes_together_in_the_first_process_alone(mesh: DeviceMesh) -> None:
    numbers, same = torch.arange(6.0).view(2, 3), torch.ones(2)
    spread = {"a": [distribute_tensor(numbers, mesh, [Shard(0)]), 7], "b": same}
    first = whole(spread, Team(0, 2))
    assert type(first["a"][0]) is torch.Tensor
    assert torch.equal(first["a"][0], numbers)
    assert first["b"] is same
    assert whole(spread, Team(1, 2)) == {"a": [None, 7], "b": same}


def test_an_outline_has_all_shapes_and_single_numbers_and_no_others() -> None:
    found = outline(
        {"state": {0: {"mean": torch.ones(4, 5, dtype=torch.bfloat16), "step": torch.tensor(7.0)}}, "lr": 1}
    )
    values = found["state"][0]
    assert (values["mean"].is_meta, values["mean"].shape, values["mean"].dtype) == (True, (4, 5), torch.bfloat16)
    assert (float(values["step"]), found["lr"]) == (7.0, 1)
