"""What `--data` takes: nothing, a name, a folder, an .npz file or shards."""

import os
import stat
from pathlib import Path

from visiongraft.data import flowers
from visiongraft.data.arrays import open_npz
from visiongraft.data.folder import open_folder
from visiongraft.data.packing import PREFIX, open_shards
from visiongraft.data.published import IMAGENET, PUBLISHED, Download, open_published
from visiongraft.data.sets import ImageData, Parts
from visiongraft.errors import DataError, nearest


def data_names() -> list[str]:
    """List the data sets that are known by name, sorted."""
    return sorted([flowers.NAME, IMAGENET, *PUBLISHED])


def open_data(
    data: str | Path | None = None,
    *,
    data_dir: Path | None = None,
    parts: Parts = "both",
    download: Download = "never",
) -> ImageData:
    """Open a data set.

    Args:
        data: None or "flowers" for the bundled photographs; a name of `data_names()`, in any case; a folder of
            images; an `.npz` file; or shards of `graft shards`, as "litdata:" and their folder or bucket. A
            name wins over a folder that is called the same: write ./cifar10 for that.
        data_dir: the folder where the files of a data set by name lie, or where chunks from a bucket are kept.
        parts: "val" opens only what to be scored on, where the rest may be missing.
        download: whether the files of a data set by name may be fetched. Beside it, only shards in a
            bucket use the network.

    Returns:
        The data set. Folders are listed, and their images read when they are asked for.

    Raises:
        DataError: in one line, whatever keeps it from being images with labels.
        MissingExtra: if torchvision or a bucket needs a library that is not installed.
    """
    name = flowers.NAME if data is None else str(data)
    known = name.lower() if isinstance(data, str | None) else ""
    if known in (IMAGENET, *PUBLISHED):
        return open_published(known, _folder_of(known, data_dir), parts=parts, download=download)
    if name.startswith(PREFIX):
        return open_shards(name, data_dir=data_dir, parts=parts)
    if data_dir is not None:
        raise DataError(
            f"--data-dir says where a data set by name lies, and {name!r} has no use for it. "
            "For a folder of your own, write --data FOLDER."
        )
    if known == flowers.NAME:
        return flowers.open_flowers(parts=parts)
    return _open_path(name, parts)


def _folder_of(name: str, data_dir: Path | None) -> Path:
    """Find where the files of a data set by name lie."""
    if data_dir is None:
        fetched = "it holds train/ and val/" if name == IMAGENET else "--download if_missing fetches the rest"
        raise DataError(
            f"Where are the files of {name}? Say it with --data-dir FOLDER; {fetched}. "
            f"(For a folder of your own that is called so, write --data ./{name}.)"
        )
    return data_dir.expanduser()


def _open_path(name: str, parts: Parts) -> ImageData:
    """Open a folder or an .npz file."""
    expected = "Expected a folder, an .npz file, or the name of a data set."
    if not name:
        raise DataError(f"--data is empty. {expected}")
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises where there is no such user
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.suffix or len(path.parts) > 1:
            raise DataError(f"There is no {name!r}. {expected}") from None
        near = nearest(name, data_names())
        raise DataError(
            f"{name!r} is no folder and no known data set.{near} Known are: {', '.join(data_names())}."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name!r} cannot be opened: {getattr(error, 'strerror', error)}. {expected}") from None
    if stat.S_ISDIR(kind):
        return open_folder(path, parts=parts)
    if stat.S_ISREG(kind) and path.suffix.lower() == ".npz":
        return open_npz(path, parts=parts)
    raise DataError(f"{name!r} is a file. {expected}")
