"""Shards: many encoded images in few files, in litdata's format, with a manifest of ours beside them.

A folder of shards holds `shards.index.json`, which this file reads and writes, and `train/` and `val/`, each a data
set of litdata with an item (content, label, name) for each image. A chunk begins with the number of its items and, for
each of them and for the end, where it begins, all as 32-bit numbers; an item begins with the sizes of its three
fields. So one image is two small reads anywhere in a chunk. docs/decisions/0008-shards.md says why this is not left to
litdata.
"""

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visiongraft.data.images import UnreadableImage, read_image
from visiongraft.data.sets import Labels
from visiongraft.errors import DataError, printable

FORMAT = "visiongraft shards"
"""What a manifest says that it is."""

VERSION = 1
"""Of the manifest and of what an item holds; a later one may be another format altogether."""

MANIFEST = "shards.index.json"
"""The file of a folder of shards that says what is in it."""

PARTS = ("train", "val")
"""The folders of the chunks."""

_FIELDS = struct.Struct("<3I")  # the sizes of content, label and name
_LABEL = struct.Struct("<q")
_BOUNDS = struct.Struct("<2I")
_FILE = re.compile(r"(train|val)/[A-Za-z0-9][A-Za-z0-9._-]*")


class Chunk(NamedTuple):
    """One file of images.

    Args:
        file: its path below the folder of the shards, with a forward slash.
        images: how many it holds.
        bytes: how large it is.
        digest: BLAKE2b of its content, 16 bytes in hexadecimal digits.
    """

    file: str
    images: int
    bytes: int
    digest: str


class Item(NamedTuple):
    """One image as a chunk holds it.

    Args:
        content: the bytes of an image file.
        label: its class.
        name: what it was called where it came from, the part in front.
    """

    content: bytes
    label: int
    name: str


@dataclass(frozen=True, eq=False)
class Shards:
    """What a manifest says.

    Args:
        classes: the name of each class.
        chunks: of each part, in the order of its images.
        labels: of the images of each part.
    """

    classes: tuple[str, ...]
    chunks: dict[str, tuple[Chunk, ...]]
    labels: dict[str, Labels]

    def to_json(self) -> bytes:
        """Write a manifest."""
        parts = {
            part: {
                "images": len(self.labels[part]),
                "chunks": [each._asdict() for each in self.chunks[part]],
                "labels": self.labels[part].tolist(),
            }
            for part in PARTS
        }
        document = {"format": FORMAT, "version": VERSION, "classes": list(self.classes), **parts}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def read_manifest(content: bytes, where: str) -> Shards:
    """Read a manifest.

    Args:
        content: of the file.
        where: the folder or the address of the shards, for errors.

    Raises:
        DataError: if it is no manifest, of a later version, or says what cannot be.
    """
    try:
        document = json.loads(content)
        kind, version = document["format"], document["version"]
    except (ValueError, LookupError, TypeError):
        raise _damaged(where, "it is cut short, or no manifest at all") from None
    if kind != FORMAT or not isinstance(version, int):
        raise _damaged(where, f"it says that it is {kind!r}, version {version!r}")
    if version > VERSION:
        raise DataError(
            f"{where!r}: {MANIFEST} is of version {version}, and this visiongraft reads up to {VERSION}. Use a newer"
            " visiongraft, or write the shards again."
        )
    try:
        classes = tuple(map(str, document["classes"]))
        chunks = {part: tuple(map(_chunk, document[part]["chunks"])) for part in PARTS}
        labels = {part: np.array(document[part]["labels"], np.int64).reshape(-1) for part in PARTS}
        promised = {part: document[part]["images"] for part in PARTS}
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise _damaged(where, f"{type(error).__name__}: {error}") from None
    for part in PARTS:
        held = sum(each.images for each in chunks[part])
        if not len(labels[part]) == held == promised[part]:
            what = f"{part} has {len(labels[part])} labels, {held} images in its chunks, and {promised[part]} by count"
            raise _damaged(where, what)
        if held and not 0 <= int(labels[part].min()) <= int(labels[part].max()) < len(classes):
            raise _damaged(where, f"the labels of {part} are not all places among {len(classes)} classes")
    return Shards(classes, chunks, labels)


def _chunk(document: dict[str, Any]) -> Chunk:
    chunk = Chunk(**document)
    if not _FILE.fullmatch(chunk.file) or ".." in chunk.file or not (chunk.images > 0 and chunk.bytes > 0):
        raise ValueError(f"a chunk {chunk.file!r} of {chunk.images} images and {chunk.bytes} bytes")
    return chunk


def _damaged(where: str, what: str) -> DataError:
    return DataError(
        f"{where!r}: {MANIFEST} is damaged ({printable(' '.join(what.split()))}). Copy the shards again, or write them"
        " with `graft shards`."
    )


class Chunks(Protocol):
    """Where chunks lie."""

    @property
    def remote(self) -> bool:
        """Whether chunks have to be fetched."""

    def open(self, chunk: Chunk) -> BinaryIO:
        """Open a chunk for reading, or raise OSError where it is not there."""

    def expect(self, chunks: Sequence[Chunk]) -> None:
        """Begin to fetch chunks that will be opened soon, where they have to be."""


@dataclass(frozen=True)
class FolderOfChunks:
    """Chunks in a folder that this machine can read; they are read where they are."""

    root: Path
    remote = False

    def open(self, chunk: Chunk) -> BinaryIO:
        """Open a chunk."""
        return (self.root / chunk.file).open("rb")

    def expect(self, chunks: Sequence[Chunk]) -> None:
        """Do nothing: they are there."""

    def check(self, chunks: Sequence[Chunk]) -> None:
        """See that all chunks are there, and whole by their sizes.

        Raises:
            DataError: if one is not.
        """
        for chunk in chunks:
            path = self.root / chunk.file
            try:
                size = path.stat().st_size
            except OSError as error:
                raise DataError(
                    f"{str(path)!r} cannot be read: {error.strerror}. {MANIFEST} lists it: copy the shards again."
                ) from None
            if size != chunk.bytes:
                raise DataError(
                    f"{str(path)!r} has {size:,} bytes, and {chunk.bytes:,} by {MANIFEST}: it is cut short, or of"
                    " other shards. Copy the shards again."
                )


@dataclass(frozen=True, eq=False)
class ShardImages:
    """Images in chunks, read when they are asked for. Any order is right; one that stays in a chunk is fast.

    Args:
        source: where the chunks lie.
        chunks: in the order of their images.
        labels: the class of each image of the set.
        places: which images of the chunks the set has, counted over all of them; None for all.
    """

    source: Chunks
    chunks: tuple[Chunk, ...]
    labels: Labels
    places: NDArray[np.int64] | None = field(default=None, repr=False)

    @property
    def native(self) -> None:
        """Unknown before every image has been read."""
        return

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The place of the first image of each chunk, and behind the last one the number of all images."""
        return np.cumsum([0, *(each.images for each in self.chunks)], dtype=np.int64)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many images each chunk holds; nothing where the set is only a part of them."""
        return tuple(each.images for each in self.chunks) if self.places is None else ()

    def __len__(self) -> int:
        return len(self.labels)

    def chunk_of(self, index: int) -> tuple[int, int]:
        """Give the chunk of an image, and its place in it."""
        place = index if self.places is None else int(self.places[index])
        chunk = int(np.searchsorted(self.starts, place, side="right")) - 1
        return chunk, place - int(self.starts[chunk])

    def item(self, index: int) -> Item:
        """Read an image's bytes.

        Raises:
            UnreadableImage: if its chunk is not there or damaged.
        """
        number, place = self.chunk_of(index)
        chunk = self.chunks[number]
        where = f"{chunk.file}[{place}]"
        try:
            with self.source.open(chunk) as stream:
                return read_item(stream, place, chunk)
        except OSError as error:
            raise UnreadableImage(where, f"its chunk cannot be read ({error.strerror or error})") from None
        except struct.error:
            raise UnreadableImage(where, "its chunk is damaged") from None

    def load(self, index: int) -> Image.Image:
        """Read an image, as `read_image` does."""
        item = self.item(index)
        return read_image(item.content, name=item.name)

    def name_of(self, index: int) -> str:
        """Give what an image was called where it came from; its place, where its chunk cannot be read."""
        try:
            return self.item(index).name
        except UnreadableImage as error:
            return error.name

    def expect(self, indices: Sequence[int]) -> None:
        """Have the chunks of some images fetched, the first ones first, without waiting for them."""
        chosen = np.asarray(indices, np.int64)
        places = chosen if self.places is None else self.places[chosen]
        numbers = np.searchsorted(self.starts, places, side="right") - 1
        found, first = np.unique(numbers, return_index=True)
        self.source.expect([self.chunks[each] for each in found[np.argsort(first)].tolist()])

    def subset(self, indices: Sequence[int]) -> "ShardImages":
        """Keep some of the images, in the order given."""
        chosen = np.asarray(indices, np.int64)
        places = chosen if self.places is None else self.places[chosen]
        return ShardImages(self.source, self.chunks, self.labels[chosen], places)


def read_item(stream: BinaryIO, place: int, chunk: Chunk) -> Item:
    """Read one item of an open chunk.

    Raises:
        struct.error: if what is there is no item.
    """
    head = 4 + 4 * (chunk.images + 1)
    stream.seek(4 + 4 * place)
    begin, end = _BOUNDS.unpack(stream.read(_BOUNDS.size))
    if not head <= begin < end <= chunk.bytes:
        raise struct.error("an item outside its chunk")
    stream.seek(begin)
    data = stream.read(end - begin)
    content, label, name = _FIELDS.unpack_from(data)
    if label != _LABEL.size or _FIELDS.size + content + label + name != len(data):
        raise struct.error("fields that do not fill their item")
    behind = _FIELDS.size + content
    return Item(
        data[_FIELDS.size : behind],
        _LABEL.unpack_from(data, behind)[0],
        data[behind + label :].decode("utf-8", "backslashreplace"),
    )
