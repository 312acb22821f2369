"""Training, scores, predictions, export and checkpoints of Ultralytics, with our layers in a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.once import Once

REPOSITORY = Path(__file__).resolve().parents[2]

FRESH = """
import sys, torch
from ultralytics import YOLO
network = YOLO(sys.argv[1]).model.eval()
assert "visiongraft.yolo" in sys.modules, "the file brings the package along"
with torch.no_grad():
    gave = network(torch.linspace(0, 1, 3 * 64 * 96).reshape(1, 3, 64, 96))[0]
print(torch.equal(gave, torch.load(sys.argv[2])))
"""


def python(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={
            **{key: each for key, each in os.environ.items() if not key.startswith("PYTEST")},
            "OMP_NUM_THREADS": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def run_once(folder: Path) -> None:
    python("-m", "tests.yolo.whole_run", str(folder))


@pytest.fixture(scope="module")
def folder(once: Once) -> Path:
    return once("yolo", run_once)


@pytest.fixture(scope="module")
def found(folder: Path) -> dict:
    return json.loads((folder / "found.json").read_text())


def test_nothing_is_asked_of_any_host_and_no_package_is_installed(found: dict) -> None:
    assert found["asked"] == []
    assert found["reports"] == [False, False]  # it does not see pytest, and yet reports nothing
    assert [each for each in found["started"] if "pip" in each] == []


def test_importing_leaves_pillow_as_it_was(found: dict) -> None:
    assert found["pillow"] == "PIL.Image"


def test_training_starts_from_the_transferred_weights(found: dict) -> None:
    assert found["from_transferred"]
    assert "Kept 499 of 505 tensors" in found["report"]


def test_scores_and_predictions_come_at_square_and_other_sizes(found: dict) -> None:
    assert "metrics/mAP50(B)" in found["scored"]
    assert found["predicted"] == [[64, 96], [64, 96]]


def test_onnx_equals_pytorch_at_the_size_of_the_export_and_a_dynamic_one_at_others(found: dict) -> None:
    assert len(found["exports"]) == 4
    assert max(found["exports"]) < 1e-3  # boxes in pixels, up to 160


def test_a_checkpoint_loads_in_a_fresh_interpreter_that_knows_ultralytics_alone(folder: Path) -> None:
    assert (
        python("-c", FRESH, str(folder / "run/weights/best.pt"), str(folder / "shown.pt")).splitlines()[-1] == "True"
    )


def test_a_process_for_several_devices_builds_the_model_from_its_name(folder: Path, found: dict) -> None:
    python(found["spawned"])
    assert (folder / "spawned" / "weights" / "last.pt").is_file()
