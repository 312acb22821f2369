"""What a training run ends with, to be compared to the bit."""

import csv
from collections.abc import Mapping
from typing import Any

import torch

from visiongraft.train.run import RunFolder
from visiongraft.train.state import read_state

TIMES = {"train_images_per_second", "wait_share"}
"""Columns of metrics.csv that tell how fast a machine was, and no more."""


def ending(folder: RunFolder) -> dict[str, Any]:
    """Give all that a run ends with, but how fast it was."""
    state, note = read_state(folder)
    assert note is None, note
    with folder.metrics.open() as file:
        rows = [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]
    unreadable = sorted(folder.unreadable.read_text().splitlines()) if folder.unreadable.exists() else []
    return {"best": folder.best.read_bytes(), "state": dict(state.tensors), "rows": rows, "unreadable": unreadable}


def same(one: object, other: object) -> bool:
    """Compare nested values to the bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other
