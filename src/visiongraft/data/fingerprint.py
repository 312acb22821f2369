"""What tells a data set from another, so that a run that goes on knows whether it is still the same one."""

from hashlib import blake2b
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from visiongraft.data.sets import ArrayImages, FileImages, ImageData, ImageSet
from visiongraft.data.shards import ShardImages


class Part(TypedDict):
    """One set of images: how many there are, a digest of what they are, and of files one of what some of them hold."""

    images: int
    digest: str
    sample: NotRequired[str]  # states that were written before there was one lack it


class Fingerprint(TypedDict):
    """A data set, as plain values."""

    classes: list[str]
    train: Part
    val: Part


def fingerprint(data: ImageData) -> Fingerprint:
    """Describe a data set: its classes, and for each of its sets count, labels and images.

    Images in memory are described by their pixels; files by their paths below their folder, their sizes, and what the
    first 256 KiB of 64 of them hold, since reading all of a large set would take minutes. So single files that were
    changed to others of the same size are not noticed, and classes that were exchanged are. Shards are described by
    the checksums of their chunks, as their manifest has them.
    """
    return {"classes": list(data.classes), "train": _part(data.train), "val": _part(data.val)}


def _part(images: ImageSet) -> Part:
    digest = blake2b(np.ascontiguousarray(images.labels).tobytes(), digest_size=16)
    if isinstance(images, ArrayImages):
        digest.update(repr(images.pixels.shape).encode())
        digest.update(np.ascontiguousarray(images.pixels).data)
    elif isinstance(images, FileImages):
        for name in images.files:
            path = images.root / name
            digest.update(
                f"{name}\0{path.stat().st_size if path.exists() else -1}\0".encode("utf-8", "surrogateescape")
            )
    elif isinstance(images, ShardImages):
        for chunk in images.chunks:
            digest.update(chunk.digest.encode())
        if images.places is not None:
            digest.update(images.places.tobytes())
    else:
        for index in range(len(images)):
            digest.update(images.name_of(index).encode("utf-8", "surrogateescape") + b"\0")
    part: Part = {"images": len(images), "digest": digest.hexdigest()}
    if isinstance(images, FileImages):
        part["sample"] = _sample(images)
    return part


_SAMPLED = 64
_HEAD = 1 << 18


def _sample(images: FileImages) -> str:
    """Digest the beginnings of some files, evenly spread over the set."""
    digest = blake2b(digest_size=16)
    count = len(images.files)
    for place in sorted({place * count // _SAMPLED for place in range(min(_SAMPLED, count) and _SAMPLED)}):
        digest.update(_beginning(images.root / images.files[place]))
    return digest.hexdigest()


def _beginning(path: Path) -> bytes:
    """Read what a file begins with; nothing of what cannot be read, which is found and told elsewhere."""
    try:
        if not path.is_file():  # to open a pipe would wait for somebody who writes into it
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Say how a data set differs from what it was, in words that follow "the data"; nothing where it does not."""
    found = []
    if before["classes"] != now["classes"]:
        gone = sorted(set(before["classes"]) - set(now["classes"]))
        new = sorted(set(now["classes"]) - set(before["classes"]))
        found.append(f"had {len(before['classes'])} classes and has {len(now['classes'])}" + _named(gone, new))
    for part in ("train", "val"):
        then, since = before[part], now[part]
        if then["images"] != since["images"]:
            found.append(f"had {then['images']:,} images to {_PURPOSE[part]} and has {since['images']:,}")
        elif then["digest"] != since["digest"]:
            found.append(f"has other images or labels to {_PURPOSE[part]} than it had")
        elif "sample" in then and then["sample"] != since.get("sample"):
            found.append(f"has files of the same names and sizes to {_PURPOSE[part]} that hold something else")
    return found


_PURPOSE = {"train": "learn from", "val": "be scored on"}


def _named(gone: list[str], new: list[str]) -> str:
    words = [f"{each!r} is gone" for each in gone[:1]] + [f"{each!r} is new" for each in new[:1]]
    return f" ({', '.join(words)})" if words else " in another order"
