"""Ultralytics keeps settings in a folder of its user, and looks for hosts when it is imported: here neither."""

import os
from pathlib import Path

import pytest

os.environ["YOLO_CONFIG_DIR"] = str(Path(__file__).resolve().parents[2] / ".cache" / "ultralytics")

pytest.importorskip("cv2", reason="OpenCV needs libraries of the system", exc_type=ImportError)
