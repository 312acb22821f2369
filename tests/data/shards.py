"""What tests of shards share."""

from pathlib import Path

import pytest

from tests.pictures import write_folder
from visiongraft.data.packing import write_shards
from visiongraft.data.sets import ImageData, ImageSet
from visiongraft.data.sources import open_data

SMALL = 600
"""Bytes of a chunk: a few of the pictures."""


def written(tmp_path: Path, *, source: Path | None = None, chunk_bytes: int = SMALL, **more) -> Path:
    source = source or write_folder(tmp_path / "photos")
    return write_shards(open_data(source), tmp_path / "shards", chunk_bytes=chunk_bytes, **more).folder


def opened(folder: Path, **more) -> ImageData:
    return open_data(f"litdata:{folder}", **more)


def far(folder: Path, tmp_path: Path) -> ImageData:
    """Open shards by litdata's way to fetch files, from a folder that stands for a bucket."""
    return open_data(f"litdata:local:{folder}", data_dir=tmp_path / "kept")


def by_name(images: ImageSet) -> dict[str, tuple[bytes, int]]:
    return {
        images.name_of(index): (images.load(index).tobytes(), int(images.labels[index]))
        for index in range(len(images))
    }


def message(error: type[Exception], what, *arguments, **more) -> str:
    with pytest.raises(error) as caught:
        what(*arguments, **more)
    text = str(caught.value)
    assert "\n" not in text
    return text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def overwrite(path: Path, place: int, content: bytes) -> None:
    with path.open("rb+") as file:
        file.seek(place)
        file.write(content)
