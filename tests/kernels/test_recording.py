"""Mixers as `torch.jit.trace` records them, which is how others still export to ONNX."""

import warnings
from pathlib import Path

import pytest
import torch

from visiongraft.blocks.mixers import ContextualTransformer, GridAttention
from visiongraft.blocks.site import Block, Site

onnxruntime = pytest.importorskip("onnxruntime")

MIXERS = [
    *(GridAttention(2, position) for position in ("relative", "relative_only", "absolute", "none", "listing")),
    ContextualTransformer(),
]


@pytest.mark.parametrize("mixer", MIXERS, ids=repr)
@pytest.mark.parametrize("grid", [(5, 5), (3, 4)])
def test_a_graph_that_was_recorded_at_one_size_holds_for_all(
    mixer: Block, grid: tuple[int, int], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = mixer.build(Site(16, 16, 1, (5, 5))).eval()
    axes = {0: "b", 2: "h", 3: "w"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and says so at many places
        network(torch.rand(1, 16, *grid))  # what is looked up once must not be recorded
        torch.onnx.export(
            network,
            (torch.rand(1, 16, *grid),),
            tmp_path / "m.onnx",
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": axes, "y": axes},
        )
        session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
        for shape in [(1, 16, 5, 5), (2, 16, 3, 4), (1, 16, 7, 2)]:
            maps = torch.rand(*shape)
            (found,) = session.run(None, {"x": maps.numpy()})
            torch.testing.assert_close(torch.from_numpy(found), network(maps), atol=1e-4, rtol=1e-4)
