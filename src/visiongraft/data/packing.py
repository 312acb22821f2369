"""Folders of shards: any data set written as one, and one opened as a data set."""

import errno
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex

import numpy as np
import torch
from PIL import Image

from visiongraft.data.images import UnreadableImage, read_image
from visiongraft.data.loader import Failure, allowed_failures
from visiongraft.data.sampling import mix
from visiongraft.data.sets import ArrayImages, FileImages, ImageData, ImageSet, Parts, no_images
from visiongraft.data.shards import MANIFEST, PARTS, Chunk, FolderOfChunks, ShardImages, Shards, read_manifest
from visiongraft.data.streams import SCHEMES, Bucket, ChunkWriter
from visiongraft.errors import DataError, nearest
from visiongraft.files import write_whole

PREFIX = "litdata:"
"""How `--data` says that what follows holds shards."""

LARGEST_CHUNK = 2**31
"""Bytes: places in a chunk are 32-bit numbers, and its last image may stand out."""

_BLOCK = 256  # images that are read before the next ones are begun


@dataclass(frozen=True)
class Packed:
    """What was written.

    Args:
        folder: of the shards.
        chunks: of each part.
        failures: images that could not be read and are not in the shards.
    """

    folder: Path
    chunks: dict[str, tuple[Chunk, ...]]
    failures: tuple[Failure, ...]


def write_shards(
    data: ImageData,
    folder: Path,
    *,
    chunk_bytes: int = 2**26,
    max_unreadable: float = 0.01,
    workers: int = 1,
    on_images: Callable[[int], None] | None = None,
) -> Packed:
    """Write a data set as shards, whole or not at all.

    Files are written as they are, images in memory as PNG. The images to learn from come in an order drawn at random,
    always the same, so that each chunk is a sample of all classes; those to be scored on in their own order. Every
    image is decoded once: those that cannot be read are left out.

    Args:
        data: the data set.
        folder: of the shards; there is nothing yet.
        chunk_bytes: how large a chunk may become, at most `LARGEST_CHUNK`.
        max_unreadable: share of the images that may be unreadable, in [0, 1]; above 0, one always may.
        workers: threads that read and decode.
        on_images: told now and then how many more images were read.

    Raises:
        DataError: if there is something already, too many images cannot be read, or the shards cannot be written;
            nothing is left behind then.
        MissingExtra: if litdata is not installed.
    """
    allowed = allowed_failures(max_unreadable, len(data.train) + len(data.val))
    failures: list[Failure] = []
    chunks, labels = {}, {}
    with _draft_of(folder) as draft, ThreadPoolExecutor(max(workers, 1)) as pool:
        for part, images in zip(PARTS, (data.train, data.val), strict=True):
            writer = ChunkWriter(draft / part, chunk_bytes)
            kept = []
            for index, taken in _taken(images, part, pool):
                if isinstance(taken, Failure):
                    failures.append(taken)
                    _check_failures(failures, allowed, data)
                else:
                    label = int(images.labels[index])
                    writer.add(taken, label, _name(images, index, part))
                    kept.append(label)
                if on_images is not None:
                    on_images(1)
            if not kept:
                raise DataError(f"Of {part} no image could be read, and shards without any are of no use.")
            chunks[part], labels[part] = writer.close(), np.array(kept, np.int64)
        write_whole(draft / MANIFEST, Shards(data.classes, chunks, labels).to_json())
    return Packed(folder, chunks, tuple(failures))


@contextmanager
def _draft_of(folder: Path) -> Iterator[Path]:
    """Give a folder beside the target, which takes its place at the end, or goes."""
    if os.path.lexists(folder):
        raise DataError(f"{str(folder)!r} is there already. Give a folder that is not, or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name[:50]}.{token_hex(8)}")
    draft.mkdir()
    try:
        yield draft
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise DataError(f"{str(folder)!r} is there by now, and was not replaced.") from None
        raise DataError(
            f"{str(folder)!r} cannot be written ({error.strerror or error}), and nothing of it is left. Make room, or"
            " give another folder."
        ) from None
    except BaseException:  # Ctrl-C as well
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _taken(images: ImageSet, part: str, pool: ThreadPoolExecutor) -> Iterator[tuple[int, bytes | Failure]]:
    """Read all images, in the order in which they are written."""
    order = list(range(len(images)))
    if part == "train":
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(mix("shards"))).tolist()
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        # Here, since what is done to warnings in one thread is undone in another.
        with warnings.catch_warnings(action="ignore"):
            found = list(pool.map(partial(_read, images), block))
        yield from zip(block, found, strict=True)


def _read(images: ImageSet, index: int) -> bytes | Failure:
    """Give the bytes of an image file, once it is known that they can be read."""
    try:
        if isinstance(images, ArrayImages):
            return _as_png(images, index)
        content = _content(images, index)
        read_image(content, name=images.name_of(index))
    except UnreadableImage as error:
        return Failure(index, error.name, error.reason)
    return content


def _content(images: ImageSet, index: int) -> bytes:
    """Give the bytes of an image as they are where they lie."""
    if isinstance(images, ShardImages):
        return images.item(index).content
    assert isinstance(images, FileImages), "what open_data gives"
    path = images.root / images.files[index]
    try:
        if not path.is_file():  # to open a pipe would wait for somebody who writes into it
            read_image(path)
        return path.read_bytes()
    except OSError:
        read_image(path)  # which says why
        raise


def _as_png(images: ArrayImages, index: int) -> bytes:
    """Encode an image in memory; a gray one as gray."""
    pixels = images.pixels[index]
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels[:, :, :3])
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _name(images: ImageSet, index: int, part: str) -> str:
    """Name an image by its part and its place below that: names of train and val must differ."""
    name = images.files[index] if isinstance(images, FileImages) else images.name_of(index)
    return name if name.startswith(part) else f"{part}/{name}"


def _check_failures(failures: Sequence[Failure], allowed: float, data: ImageData) -> None:
    if len(failures) > allowed:
        last = failures[-1]
        raise DataError(
            f"Of {len(data.train) + len(data.val)} images {len(failures)} could not be read so far, more than"
            f" --max-unreadable allows, the last {last.name}: {last.reason}. `graft doctor` finds all of them:"
            " remove or mend them, or raise --max-unreadable."
        )


def open_shards(address: str, *, data_dir: Path | None = None, parts: Parts = "both") -> ImageData:
    """Open shards as a data set.

    Args:
        address: `PREFIX` and a folder, or a bucket that begins with one of litdata's `SCHEMES`.
        data_dir: where the chunks of a bucket are kept; by default a folder in the user's cache.
        parts: "val" leaves the images to learn from aside.

    Raises:
        DataError: if there are no shards of ours, they are not whole, or cannot be fetched.
        MissingExtra: if a library is missing that fetches them.
    """
    where = address.removeprefix(PREFIX).rstrip("/") or "/"
    if where.startswith(SCHEMES):
        bucket = Bucket(where, data_dir.expanduser() if data_dir else _cache(where))
        return _opened(address, read_manifest(bucket.manifest(), where), bucket, parts)
    if "://" in where:
        scheme = where.partition("://")[0]
        near = nearest(scheme, [each.rstrip(":/") for each in SCHEMES])
        raise DataError(
            f"--data litdata: knows no {scheme}://.{near} Expected a folder, or an address that"
            f" begins with {' '.join(SCHEMES)}."
        )
    if data_dir is not None:
        raise DataError(f"--data-dir says where fetched chunks are kept, and {address!r} is read where it lies.")
    root = Path(os.path.expanduser(where))  # noqa: PTH111 - Path.expanduser raises where there is no such user
    shards = read_manifest(_manifest_in(root), str(root))
    source = FolderOfChunks(root)
    for part in PARTS if parts == "both" else ("val",):
        source.check(shards.chunks[part])
    return _opened(address, shards, source, parts)


def _opened(name: str, shards: Shards, source: FolderOfChunks | Bucket, parts: Parts) -> ImageData:
    train, val = (ShardImages(source, shards.chunks[part], shards.labels[part]) for part in PARTS)
    return ImageData(name, shards.classes, train if parts == "both" else no_images(), val)


def _cache(where: str) -> Path:
    """Choose a folder for what is fetched from an address."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "visiongraft" / "shards" / blake2b(where.encode(), digest_size=8).hexdigest()


def _manifest_in(root: Path) -> bytes:
    """Read the manifest of a folder, or say what the folder is instead."""
    try:
        return (root / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise DataError(f"{str(root / MANIFEST)!r} cannot be read: {error.strerror}. Make it readable.") from None
    for index in (root / "index.json", root / "train" / "index.json"):
        if index.is_file():
            raise DataError(
                f"{str(root)!r} {_foreign(index)} Write shards with `graft shards --data ... --output DIR`."
            )
    raise DataError(
        f"{str(root)!r} holds no shards: there is no {MANIFEST}. Write some with `graft shards --data ... --output"
        " DIR`."
    )


def _foreign(index: Path) -> str:
    """Say what a data set of litdata's is that is none of ours."""
    try:
        kinds = json.loads(index.read_bytes())["config"]["data_format"]
    except (OSError, ValueError, LookupError, TypeError):
        kinds = []
    if any("pickle" in str(kind) for kind in kinds or []):
        return "holds pickled objects, which are never unpickled."
    return f"was written by litdata without {MANIFEST}, so that nothing says what its fields are."
