"""`graft shards`."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from visiongraft.cli.arguments import Spread
from visiongraft.cli.groups import Images
from visiongraft.cli.progress import counting
from visiongraft.cli.values import check_share, check_writable, raising_on_interrupt
from visiongraft.data.packing import LARGEST_CHUNK, PREFIX, Packed, write_shards
from visiongraft.data.shards import PARTS
from visiongraft.errors import GraftError, counted, printable

_MEGABYTE = 2**20


def run(
    *,
    output: Path,
    images: Annotated[Images, Spread()],
    chunk_mb: int = 64,
    max_unreadable: float = 0.01,
    workers: Literal["auto"] | int = "auto",
) -> Packed:
    """Write images with labels as shards: few large files, from which a training streams.

    Image files are kept byte by byte, arrays become PNG. Every image is decoded once; those that cannot be read are
    left out and listed. The folder appears whole, or not at all. graft train and others take it as --data
    litdata:FOLDER; copied to a bucket by the bucket's own tools, as --data litdata:s3://BUCKET/FOLDER.

    Examples:
        graft shards --data photos/ --output shards/
        graft shards --data cifar10 --data-dir downloads/ --output cifar/ --chunk-mb 16

    Args:
        output: the folder to write, which must not be there yet
        images: which ones
        data: a folder of images, an .npz file, a name such as cifar10, or other shards; by default the bundled flowers
        chunk_mb: size of a file in MiB, from 1 to 2048
        max_unreadable: share of the images that may be unreadable; above 0, one always may
        workers: threads that read images; auto for one per core
    """
    if not 1 <= chunk_mb <= LARGEST_CHUNK // _MEGABYTE:
        raise GraftError(f"--chunk-mb must be from 1 to {LARGEST_CHUNK // _MEGABYTE}, not {chunk_mb}.")
    check_share(max_unreadable, of="--max-unreadable")
    if workers != "auto" and workers < 0:
        raise GraftError(f"--workers must be at least 0, or auto, not {workers}.")
    if os.path.lexists(output):
        raise GraftError(f"--output {str(output)!r} is there already. Give a folder that is not, or remove it.")
    check_writable(output, "--output", kind="folder")
    found = images.opened()
    for note in found.notes:
        print(printable(note), file=sys.stderr)
    with raising_on_interrupt(), counting(len(found.train) + len(found.val), "packed") as advance:
        return write_shards(
            found,
            output,
            chunk_bytes=chunk_mb * _MEGABYTE,
            max_unreadable=max_unreadable,
            workers=(os.cpu_count() or 1) if workers == "auto" else workers,
            on_images=advance,
        )


def as_json(found: Packed) -> dict[str, object]:
    """Give what was written."""
    parts = {
        part: {
            "images": sum(each.images for each in found.chunks[part]),
            "chunks": len(found.chunks[part]),
            "bytes": sum(each.bytes for each in found.chunks[part]),
        }
        for part in PARTS
    }
    unreadable = [{"file": each.name, "error": each.reason} for each in found.failures]
    return {"folder": str(found.folder), **parts, "unreadable": unreadable}


def show(found: Packed) -> None:
    """Print what was written, and how to use it."""
    for part in PARTS:
        chunks = found.chunks[part]
        size = sum(each.bytes for each in chunks) / 1e6
        images = counted(sum(each.images for each in chunks), "image")
        print(f"{part:5}  {images} in {counted(len(chunks), 'chunk')}, {size:,.1f} MB")
    for each in found.failures:
        print(f"left out, since it cannot be read: {printable(each.name)}: {each.reason}")
    place = shlex.quote(f"{PREFIX}{found.folder}")
    print(f"\nTo learn from it: graft train --data {printable(place)}")
