"""What tells a data set from another, so that a run that goes on knows whether it is still the same one."""

from hashlib import blake2b
from typing import TypedDict

import numpy as np

from visiongraft.data.sets import ArrayImages, FileImages, ImageData, ImageSet
from visiongraft.data.shards import ShardImages


class Part(TypedDict):
    """One set of images: how many there are, and a digest of what they are."""

    images: int
    digest: str


class Fingerprint(TypedDict):
    """A data set, as plain values."""

    classes: list[str]
    train: Part
    val: Part


def fingerprint(data: ImageData) -> Fingerprint:
    """Describe a data set: its classes, and for each of its sets count, labels and images.

    Images in memory are described by their pixels; files by their paths below their folder and their sizes, since
    reading all of a large set would take minutes. So a file that was changed to another of the same size is not
    noticed. Shards are described by the checksums of their chunks, as their manifest has them.
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
    return {"images": len(images), "digest": digest.hexdigest()}


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
    return found


_PURPOSE = {"train": "learn from", "val": "be scored on"}


def _named(gone: list[str], new: list[str]) -> str:
    words = [f"{each!r} is gone" for each in gone[:1]] + [f"{each!r} is new" for each in new[:1]]
    return f" ({', '.join(words)})" if words else " in another order"
