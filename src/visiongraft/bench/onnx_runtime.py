"""The one file that knows ONNX Runtime: networks of others at the speed that it gives them."""

import warnings
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from visiongraft.errors import GraftError, MissingExtra


class OnnxRuntime(nn.Module):
    """A network that ONNX Runtime computes, on as many threads as PyTorch has, for images of one shape.

    Args:
        network: what is handed over, when the first images come.

    Raises:
        MissingExtra: if ONNX Runtime, or onnx, is not installed.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if find_spec("onnx") is None or find_spec("onnxruntime") is None:
            raise MissingExtra("timm-onnxruntime needs ONNX Runtime. Install it with: pip install onnx onnxruntime")
        self.network = network
        self._session: Any = None

    def forward(self, images: Tensor) -> Tensor:
        """Give logits.

        Raises:
            GraftError: in training, on other devices than a CPU, and for bfloat16.
        """
        if self.training or images.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            raise GraftError("ONNX Runtime is timed in inference, on a CPU, in float32.")
        if self._session is None:
            self._session = _session(self.network, images)
        (logits,) = self._session.run(None, {"images": images.numpy()})
        return torch.from_numpy(logits)


def _session(network: nn.Module, images: Tensor) -> Any:  # noqa: ANN401 - it has no types
    """Record a network for images of this shape, and let ONNX Runtime prepare it."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    with TemporaryDirectory() as folder:
        file = f"{folder}/network.onnx"
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings(action="ignore"):
            # By the older of PyTorch's two recorders, which needs no further package.
            torch.onnx.export(network.eval(), (images.clone(),), file, input_names=["images"], dynamo=False)
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
