"""What was measured of the networks of the zoo, by hand-run scripts, and how a later reader sees that it still holds.

The records lie in the package, since `graft info` shows them where there is no checkout. `make cards` renews them.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone
from visiongraft.vocabulary import default_of

FOLDER = Path(__file__).parent
COUNTS = FOLDER / "counts.jsonl"
PARITY = FOLDER / "parity.jsonl"


@dataclass(frozen=True)
class Count:
    """What a network costs at an image size, as `summarize` or the same counter over timm's network found.

    Args:
        name: in the zoo.
        of: whose network was counted: "ours", or the name that timm has for it.
        spec: fingerprint of ours when this was counted.
        image: height and width in pixels.
        params: trainable numbers.
        macs: multiply-adds for one image.
        version: of the library that the network is from.
    """

    name: str
    of: str
    spec: str
    image: Grid
    params: int
    macs: int
    version: str


@dataclass(frozen=True)
class Parity:
    """How far a network, whole, is from its original with the same weights: logits in float32.

    Args:
        name: in the zoo.
        source: whose names the original's tensors have, as `convert` calls it.
        original: what it is, in words.
        spec: fingerprint of ours when this was measured.
        image: height and width in pixels, for the logits.
        logits: largest difference, as a share of the largest logit.
        gradients: largest difference in any gradient of one training step, as a share of that one's largest number.
        precision: what the gradients were computed in: "float32" or "float64".
        versions: of what computed, by name.
        machine: on what.
        date: when, as 2026-11-21.
    """

    name: str
    source: str
    original: str
    spec: str
    image: Grid
    logits: float
    gradients: float
    precision: str
    versions: dict[str, str]
    machine: str
    date: str


@cache
def counts() -> tuple[Count, ...]:
    """Read what was counted."""
    return tuple(read(COUNTS, Count))


@cache
def parities() -> tuple[Parity, ...]:
    """Read what was compared."""
    return tuple(read(PARITY, Parity))


def fingerprint(spec: Backbone) -> str:
    """Give a short text that changes when the network does.

    A choice that has its default does not count: one that is added to the vocabulary later, whose default means what
    was before, changes no fingerprint. Neither does the name.
    """
    text = json.dumps(_essence(spec), sort_keys=True)
    return sha256(text.encode()).hexdigest()[:_DIGITS]


_DIGITS = 12


def _essence(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        chosen = {each.name: getattr(value, each.name) for each in fields(value)}
        defaults = {each.name: default_of(each) for each in fields(value)}
        kept = {key: _essence(each) for key, each in chosen.items() if each != defaults[key]}
        if isinstance(value, Backbone):
            del kept["name"]
        return [type(value).__name__, kept]
    if isinstance(value, tuple):
        return [[len(list(run)), _essence(each)] for each, run in groupby(value)]
    return value


Row = TypeVar("Row", Count, Parity)


def read(path: Path, kind: type[Row]) -> list[Row]:
    """Read a record: one JSON object a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (json.loads(line) for line in lines)
    return [kind(**{**row, "image": tuple(row["image"])}) for row in rows]


def as_text(rows: Iterable[Count | Parity]) -> str:
    """Write a record, as `read` reads it."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)
