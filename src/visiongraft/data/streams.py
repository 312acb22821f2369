"""litdata's two parts that are used here: its writer of chunks, and its ways to fetch a file from a bucket.

The one file that knows litdata. What is fetched is kept in a folder, which all processes of a machine share: each
chunk is fetched once, by whoever needs it first, compared with its checksum, and moved into place whole. Where the
disk runs full, the chunks that were used longest ago go.
"""

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b, file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import sleep, time
from typing import BinaryIO

from visiongraft.data.shards import MANIFEST, Chunk
from visiongraft.errors import DataError, MissingExtra

SCHEMES = ("s3://", "gs://", "hf://", "local:")
"""How the address of a bucket begins. `local:` is a folder that is far away, such as one of the network.

litdata's r2:// and azure:// need options that only its own data sets take.
"""

# Of these, litdata's other way to fetch is obstore, whose threads do not survive a fork and which knows no http://.
_AS_STREAMS = ("s3://", "gs://")

KEEP_FREE = 2**30
"""How many bytes of the disk are left free before chunks that were used long ago are removed."""

AHEAD = 4
"""How many chunks are fetched before an image of them is asked for."""

_PAUSES = (1.0, 5.0)  # seconds before another try, where a bucket did not answer

_DRAFTS = ".fetching-"

_LONG_AGO = 86_400.0  # seconds, in which every download has ended

_NEEDED = {"gs://": "google-cloud-storage"}  # which litdata leaves to its users


class LostChunk(DataError):
    """A file of a bucket that cannot be fetched, now or at all. It is no image that one could do without.

    A process that reads images sends it to the main one as the text of its whole traceback, whose last line counts.
    """

    def __init__(self, text: str) -> None:
        """Keep the line that says what is wrong."""
        super().__init__(text.strip().rpartition("\n")[2].removeprefix(f"{__name__}.{type(self).__name__}: "))


@contextmanager
def _importing(purpose: str) -> Iterator[None]:
    """Say what litdata is needed for where it is not there, and let it warn of nothing while it is imported."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{purpose} needs {error.name}. Install litdata with: pip install 'visiongraft[stream]'"
        ) from None


class ChunkWriter:
    """Writes one part of a folder of shards.

    Args:
        folder: of the part; it is made.
        chunk_bytes: how large a chunk may become.
    """

    def __init__(self, folder: Path, chunk_bytes: int) -> None:
        with _importing("graft shards"):
            from litdata.streaming.writer import BinaryWriter
        self.folder = folder
        self.writer = BinaryWriter(str(folder), chunk_bytes=chunk_bytes)
        self.count = 0

    def add(self, content: bytes, label: int, name: str) -> None:
        """Add an image."""
        # A tuple: of a dict, litdata would make rows of Arrow's on machines that have it.
        item = (content, label, name.encode("utf-8", "backslashreplace").decode())
        with warnings.catch_warnings(action="ignore"):  # of an image larger than a chunk is to be, which is no harm
            self.writer.add_item(self.count, item)
        self.count += 1

    def close(self) -> tuple[Chunk, ...]:
        """Write the rest and litdata's index, see that all of it is on the disk, and say what the chunks are."""
        with warnings.catch_warnings(action="ignore"):
            self.writer.done()
        self.writer.merge(1)
        chunks = []
        for each in self.writer._chunks_info:
            path = self.folder / each["filename"]
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            name = f"{self.folder.name}/{path.name}"
            chunks.append(Chunk(name, int(each["chunk_size"]), int(each["chunk_bytes"]), _digest(path)))
        return tuple(chunks)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


@dataclass(frozen=True, eq=False)
class Bucket:
    """Chunks that are fetched when they are asked for.

    Args:
        url: where the folder of shards lies, beginning with one of `SCHEMES`.
        folder: where fetched files are kept.
        keep_free: bytes of its disk that stay free, as long as there is an older chunk to remove.
    """

    url: str
    folder: Path
    keep_free: int = KEEP_FREE
    remote = True
    _coming: set[str] = field(default_factory=set, init=False, repr=False)

    def manifest(self) -> bytes:
        """Fetch the manifest, anew each time: shards may have been written again.

        Raises:
            LostChunk: if it cannot be fetched.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with self._draft() as draft:
                return self._fetched(MANIFEST, draft).read_bytes()
        except OSError as error:
            raise self._no_place(error) from None

    def open(self, chunk: Chunk) -> BinaryIO:
        """Open a chunk, which is fetched if it is not there.

        Raises:
            LostChunk: if it cannot be fetched.
        """
        path = self.folder / chunk.file
        while True:
            with suppress(FileNotFoundError):
                file = path.open("rb")
                with suppress(OSError):
                    os.utime(path)  # the chunks that were used longest ago go first
                return file
            self._fetch(chunk)

    def _fetch(self, chunk: Chunk) -> None:
        """Fetch a chunk, or wait until another process has."""
        from filelock import FileLock  # which comes with litdata

        path = self.folder / chunk.file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                if path.exists():
                    return
                self._make_room(chunk.bytes)
                with self._draft() as draft:
                    found = self._fetched(chunk.file, draft, pauses=_PAUSES)
                    if found.stat().st_size != chunk.bytes or _digest(found) != chunk.digest:
                        raise LostChunk(
                            f"{self.url}/{chunk.file} is not what {MANIFEST} says: it is cut short, or of other"
                            " shards. Copy the shards to the bucket again."
                        )
                    found.replace(path)
        except OSError as error:
            raise self._no_place(error) from None

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """Give a folder for one download, in which a library may leave what it likes."""
        with TemporaryDirectory(prefix=_DRAFTS, dir=self.folder) as draft:
            yield Path(draft)

    def _fetched(self, file: str, draft: Path, *, pauses: Sequence[float] = ()) -> Path:
        """Fetch a file of the shards."""
        if self.url.startswith("hf://"):
            os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        with _importing(f"--data litdata:{self.url}"):
            from litdata.streaming.downloader import get_downloader
        target = draft / Path(file).name
        reason = ""
        for pause in (0.0, *pauses):
            sleep(pause)
            try:
                downloader = get_downloader(self.url, str(draft), [])
                if self.url.startswith(_AS_STREAMS):
                    with target.open("wb") as stream:
                        downloader.download_fileobj(f"{self.url}/{file}", stream)
                else:
                    downloader.download_file(f"{self.url}/{file}", str(target))
                if target.exists():
                    return target
                reason = "nothing came"
            except ImportError as error:
                raise MissingExtra(self._what_is_missing(error)) from None
            except Exception as error:  # each library behind litdata raises its own
                reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise LostChunk(
            f"{self.url}/{file} cannot be fetched ({reason}). Check the address, the network and your access to it,"
            " and start again."
        )

    def _sweep(self) -> None:
        """Remove what downloads left behind that were killed long ago."""
        for left in self.folder.glob(f"{_DRAFTS}*"):
            if _last_use(left) < time() - _LONG_AGO:
                shutil.rmtree(left, ignore_errors=True)

    def _no_place(self, error: OSError) -> LostChunk:
        return LostChunk(
            f"Fetched chunks cannot be kept in {str(self.folder)!r}: {error.strerror or error}. Make room there, or"
            " give another folder as --data-dir."
        )

    def _what_is_missing(self, error: ImportError) -> str:
        scheme = next(each for each in SCHEMES if self.url.startswith(each))
        name = _NEEDED.get(scheme, error.name or str(error))
        return f"--data litdata:{self.url} needs {name}. Install it with: pip install {name}"

    def _make_room(self, wanted: int) -> None:
        """Remove the chunks that were used longest ago, until there is room for another one."""
        kept: list[Path] | None = None
        while shutil.disk_usage(self.folder).free < wanted + self.keep_free:
            if kept is None:
                kept = sorted(self.folder.glob("*/*.bin"), key=_last_use, reverse=True)
            if not kept:
                return  # the disk may still have room for this one
            kept.pop().unlink(missing_ok=True)

    def expect(self, chunks: Sequence[Chunk]) -> None:
        """Fetch chunks in the background, a few at a time. What fails is said when the chunk is asked for."""
        for chunk in chunks:
            if len(self._coming) >= AHEAD:
                return
            if chunk.file not in self._coming and not (self.folder / chunk.file).exists():
                self._coming.add(chunk.file)
                Thread(target=self._fetch_quietly, args=(chunk,), daemon=True).start()

    def _fetch_quietly(self, chunk: Chunk) -> None:
        try:
            with suppress(DataError):
                self._fetch(chunk)
        finally:
            self._coming.discard(chunk.file)


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
