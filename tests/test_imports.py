"""What importing brings in and changes, as one fresh process saw it: to import PyTorch takes seconds."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "litdata",
    "lightning",
    "pytorch_lightning",
    "timm",
    "matplotlib",
    "tensorboard",
    "torchmetrics",
    "huggingface_hub",
    "ultralytics",
    "cv2",
}

PROGRAM = """
import json, sys
from PIL import Image, ImageFile
settings = lambda: [Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES]
found = {"pillow_before": settings()}
import visiongraft
found["package"] = list(sys.modules)
from visiongraft.detect.value import Detector
import visiongraft.detect.recipes
found["value"] = list(sys.modules)
found["door"] = [visiongraft.detect.Detector is Detector, list(visiongraft.detect.__all__)]
from visiongraft.cli.main import main
main(["list"])
found["listing"] = list(sys.modules)
assert main(["train", "--epoch", "3"]) == main(["compare", "--epoch", "3"]) == main(["train", "--epochs", "0"]) == 2
found["refusing"] = list(sys.modules)
import visiongraft.data.images
found["pillow"] = settings()
sys.modules["timm"] = None
try:
    import visiongraft.timm
except Exception as error:
    found["timm"] = [type(error).__name__, str(error)]
sys.modules["ultralytics"] = None
try:
    import visiongraft.yolo
except Exception as error:
    found["ultralytics"] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, list]:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_brings_in_no_heavy_library(seen: dict[str, list]) -> None:
    assert "visiongraft" in seen["package"]
    assert not HEAVY & set(seen["package"])


def test_a_detector_as_a_value_brings_in_no_detector_of_torchvision(seen: dict[str, list]) -> None:
    assert not {"visiongraft.detect", "torchvision.models"} & set(seen["package"])
    assert "visiongraft.detect.value" in seen["value"]
    assert "torchvision.models" not in seen["value"]
    same, names = seen["door"]
    assert same
    assert names == sorted(names)


def test_listing_starts_without_the_heavy_libraries(seen: dict[str, list]) -> None:
    assert "visiongraft.cli.list_models" in seen["listing"]
    assert not {"lightning", "timm", "matplotlib", "torchvision"} & set(seen["listing"])


def test_what_is_refused_does_not_wait_for_what_trains(seen: dict[str, list]) -> None:
    assert {"visiongraft.cli.train", "visiongraft.cli.compare"} <= set(seen["refusing"])
    assert not HEAVY & set(seen["refusing"])


def test_importing_changes_no_setting_of_pillow(seen: dict[str, list]) -> None:
    assert seen["pillow"] == seen["pillow_before"]


def test_without_timm_the_door_says_how_to_get_it(seen: dict[str, list]) -> None:
    text = "visiongraft.timm needs timm 1.0.31 or newer. Install it with: pip install 'visiongraft[timm]'"
    assert seen["timm"] == ["MissingExtra", text]


def test_without_ultralytics_the_door_says_how_to_get_it_and_its_licence(seen: dict[str, list]) -> None:
    assert seen["ultralytics"] == [
        "MissingExtra",
        "visiongraft.yolo needs Ultralytics 8.4.190 or newer, which is under AGPL-3.0. Install it with: pip install"
        " 'visiongraft[yolo]'",
    ]
