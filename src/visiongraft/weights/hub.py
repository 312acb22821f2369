"""Files from a hub, by huggingface_hub: the one file that knows it. Nothing else fetches weights, but of_torchvision.

It honours the variables of that library: HF_ENDPOINT (a mirror), HF_HOME and HF_HUB_CACHE (where files are kept),
HF_HUB_OFFLINE, HF_TOKEN. What it would tell the hub of this machine beyond its own and Python's version is switched
off, and a token that lies in a file is not sent: only HF_TOKEN is.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from logging import ERROR
from pathlib import Path
from threading import Lock
from typing import Any

from visiongraft.errors import WeightsError
from visiongraft.weights.sources import WeightSet

FILE = "model.safetensors"
"""What timm calls its weights in every repository."""


def fetch(weights: WeightSet, *, folder: str | Path | None = None, offline: bool = False) -> Path:
    """Give the path of a published file, which is fetched unless it is there.

    A file that is there is used as it is, and nobody is asked whether there is a newer one. Fetched or found, its
    checksum is compared with the one that the hub keeps.

    Args:
        weights: what to fetch.
        folder: where files are kept, in the layout of Hugging Face's cache; by default that cache.
        offline: use only what is there.

    Raises:
        WeightsError: in one line, whatever keeps the file from being there and right. Nothing half-written remains.
    """
    with _discreet() as hub:
        place = Path(os.path.expanduser(folder or hub.constants.HF_HUB_CACHE))  # noqa: PTH111 - Path's raises
        _check_folder(place)
        with _readable(weights, place):
            kept = hub.try_to_load_from_cache(weights.repository, FILE, cache_dir=place)
            found = (Path(kept), _checksum_in(Path(kept))) if isinstance(kept, str) else None
        forbidden = "--offline" if offline else "HF_HUB_OFFLINE" if hub.constants.HF_HUB_OFFLINE else ""
        if found is None and forbidden:
            raise WeightsError(
                f"{weights.name} is not in {place}, and nothing may be fetched ({forbidden}). Fetch it once with the"
                " network, or say with --weights-dir where it is."
            )
        path, checksum = found or _download(hub, weights, place)
    with _readable(weights, place):
        _check(path, checksum, weights, forbidden=forbidden)
    return path


@contextmanager
def _readable(weights: WeightSet, place: Path) -> Iterator[None]:
    """Say in one line what keeps a file that is there from being read: a folder may be others' as well."""
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"The kept file of {weights.name} in {str(place)!r} cannot be read: {error.strerror or error}. Ask for the"
            " permission to read it, or give another --weights-dir."
        ) from error


def _check_folder(place: Path) -> None:
    """See that the folder where files are kept can be searched, if it is there.

    Raises:
        WeightsError: if it cannot, or is no folder.
    """
    try:
        if place.exists():
            next(place.iterdir(), None)
    except OSError as error:
        raise WeightsError(
            f"The folder of weights {str(place)!r} cannot be read: {error.strerror}. Give another --weights-dir."
        ) from error


def _download(hub: Any, weights: WeightSet, place: Path) -> tuple[Path, str]:  # noqa: ANN401 - a module
    """Fetch a file; give its path and the checksum that the hub has for it."""
    endpoint = (os.environ.get("HF_ENDPOINT") or hub.constants.ENDPOINT).rstrip("/")
    asked = {"endpoint": endpoint, "token": os.environ.get("HF_TOKEN") or False, "library_name": "visiongraft"}
    url = hub.hf_hub_url(weights.repository, FILE, endpoint=endpoint)
    try:
        known = hub.get_hf_file_metadata(url, **asked)  # a first look, since the next line tries for minutes
        checksum = str(known.etag)
        if not _CHECKSUM.fullmatch(checksum):
            raise WeightsError(
                f"{endpoint} has no checksum for {FILE} of {weights.repository}, so it cannot be checked. Set"
                f" HF_ENDPOINT to another hub, or fetch the file yourself and {_BY_HAND}."
            )
        path = hub.hf_hub_download(weights.repository, FILE, cache_dir=place, **asked)
    except WeightsError:
        raise
    except Exception as error:  # of that library, of its HTTP client, or of the disk: they share no other class
        raise WeightsError(_in_words(hub, error, weights, endpoint, place)) from error
    return Path(path), checksum


_CHECKSUM = re.compile("[0-9a-f]{64}|[0-9a-f]{40}")  # SHA-256, or git's SHA-1 for what is small
_BY_HAND = "use it through `graft convert`, or in Python as weights=FILE"


def _in_words(hub: Any, error: Exception, weights: WeightSet, endpoint: str, place: Path) -> str:  # noqa: ANN401
    """Say in one line why a file could not be fetched, and what to do."""
    what = f"{FILE} of {weights.repository}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return (
            f"{endpoint} has no {what} to give (it answers {status}). Look at HF_ENDPOINT, and at HF_TOKEN if it needs"
            f" one, or fetch the file elsewhere and {_BY_HAND}."
        )
    if status is not None:
        return f"{endpoint} answers {status} when asked for {what}. Try later, or set HF_ENDPOINT to a mirror."
    if isinstance(error, hub.errors.FileMetadataError):
        return f"{endpoint} does not answer as a hub does when asked for {what}. Look at HF_ENDPOINT."
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{str(place)!r} cannot take {what}: {error.strerror}. Make room, or give another --weights-dir."
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{what} could not be fetched from {endpoint} ({reason[:_LONGEST_REASON]}). Check the internet connection, set"
        f" HF_ENDPOINT to a mirror, or fetch the file elsewhere and {_BY_HAND}."
    )


_LONGEST_REASON = 200


def _checksum_in(path: Path) -> str:
    """Read the hub's checksum off a file of the cache, which is a link to one called so; empty if it is none."""
    name = path.resolve().name
    return name if path.is_symlink() and _CHECKSUM.fullmatch(name) else ""


def _check(path: Path, checksum: str, weights: WeightSet, *, forbidden: str) -> None:
    """Compare a file with the hub's checksum. Where that is empty, which is where nobody knows it, any file passes.

    Args:
        path: the file.
        checksum: the hub's.
        weights: what the file is to be.
        forbidden: what keeps another one from being fetched, such as "--offline"; empty where nothing does.

    Raises:
        WeightsError: if they differ. The file is removed, where that is permitted and another one can be fetched.
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if checksum and checksum != (sha256 if len(checksum) == len(sha256) else _git_checksum(path)):
        raise WeightsError(
            f"The file of {weights.name} was damaged on its way or since: its checksum is not the hub's"
            f" {checksum[:12]}... {_kept(path, forbidden) if forbidden else _removed(path)}"
        )


def _kept(path: Path, forbidden: str) -> str:
    """Say that a file is left as it is where another one cannot come in its place, and what to do."""
    return (
        f"It is left in {str(path)!r}, since nothing may be fetched ({forbidden}): copy the right file over it, or ask"
        " again where fetching is allowed."
    )


def _removed(path: Path) -> str:
    """Remove a file of the cache and what it links to; say whether that went, and what to do."""
    try:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"{path} cannot be removed: {error.strerror}. Have it removed, or give another --weights-dir."
    return "It is removed; ask again to fetch it anew."


def _git_checksum(path: Path) -> str:
    """Give the name that git has for a file's content; hubs have it for files that are small."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def _discreet() -> Iterator[Any]:
    """Give huggingface_hub, for as long silent: no remarks, nothing told of this machine, and one way to fetch.

    It has a second way, hf_xet, with servers of its own that no HF_ENDPOINT leads elsewhere. Its settings hold for the
    whole process, for other threads that use it as well. One thread fetches at a time: of two, the first to end would
    switch the other's settings back.
    """
    import huggingface_hub as hub
    import huggingface_hub.errors
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    with _ONE_AT_A_TIME, ExitStack() as at_the_end:
        for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET"):
            at_the_end.callback(setattr, constants, name, getattr(constants, name))
            setattr(constants, name, True)
        at_the_end.callback(logging.set_verbosity, logging.get_verbosity())
        logging.set_verbosity(ERROR)
        yield hub


_ONE_AT_A_TIME = Lock()
