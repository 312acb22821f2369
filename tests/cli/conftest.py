"""A trained network, as far as the command line cares."""

from pathlib import Path

import pytest
import torch

from tests.pictures import SIDE
from visiongraft.preprocessing import Preprocessing
from visiongraft.weights.models import create_model
from visiongraft.weights.store import save


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = create_model("resnet_pico", num_classes=2, image=SIDE)
    pre = Preprocessing((SIDE, SIDE))
    return save(network, tmp_path / "model.safetensors", preprocessing=pre, classes=["upright", "lying"])
