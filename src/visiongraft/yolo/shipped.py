"""The model files that come with this package."""

import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("models")

_SCALE = re.compile(r"(?<=\d)[nslmx](?=-)")
"""The letter of the size in a name, as in yolo11n-mhsa; the files have none."""


def list_models() -> list[str]:
    """Name the model files that come with this package, as `ultralytics.YOLO` takes them.

    Sizes are in the name: "yolo11n-mhsa.yaml", and with s, m, l or x in the place of n.
    """
    return sorted(each.name for each in FOLDER.glob("*.yaml"))


def read_shipped(path: str | Path) -> dict[str, Any] | None:
    """Read a model file of this package by its name; None where it has none of that name, or a file is there."""
    path = Path(path)
    file = FOLDER / _SCALE.sub("", path.name)
    if path.exists() or path.parent not in (Path(), FOLDER) or not file.is_file():
        return None
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document
