"""Weights that torchvision publishes, a file each at an address of its own, and how the tensors in them are called."""

import hashlib
import re
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import torch
from torch import Tensor

from visiongraft.errors import UnknownModel, WeightsError, nearest
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import TWO_HEADED, Foreign
from visiongraft.weights.publication import Keeping, Publication


def publication_of_torchvision(source: str, tag: str, keeping: Keeping) -> Publication:
    """Give weights that torchvision publishes, which are fetched unless they are kept.

    Args:
        source: the network, as "torchvision:resnet50".
        tag: torchvision's own name for them, such as "imagenet1k_v1"; empty for those that it calls the default.
        keeping: where files are kept; by default in torch.hub's folder, as torchvision itself keeps them.

    Raises:
        UnknownModel: if it has no such network, or no such weights for it.
        WeightsError: if they cannot be fetched, or their file is damaged.
    """
    sets = _sets(source)
    chosen = sets.get(tag.upper()) if tag else next(iter(sets.values()), None)
    if chosen is None:
        told = f" There are: {', '.join(sets).lower()}." if sets else " It publishes none that tell classes apart."
        raise UnknownModel(f"torchvision has no weights {tag!r} for {source}.{nearest(tag.upper(), sets)}{told}")
    claim: Mapping[str, float] = next(iter(chosen.meta.get("_metrics", {}).values()), {})
    scores = {f"claimed_top{k}": claim[f"acc@{k}"] / 100 for k in (1, 5) if f"acc@{k}" in claim}
    shown = _preprocessing(source, chosen)
    file = _kept(chosen.url, f"{source}.{chosen.name.lower()}", keeping)
    return Publication(Foreign(source, len(chosen.meta["categories"]), shown.image), file, shown, scores)


def preprocessing_of_file(source: str, file: str) -> Preprocessing | None:
    """Give what images go through before weights of torchvision, by the name of their file; None for another file."""
    known = {_file_of(each.url): each for each in _sets(source).values()}
    return _preprocessing(source, known[file]) if file in known else None


def as_built(source: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a file of torchvision as its network has them: without further heads, by today's names."""
    heads = ("aux1.", "aux2.", "AuxLogits.") if source.partition(":")[2] in TWO_HEADED else ()
    return {_OLD.sub(r"\1\2", name): each for name, each in tensors.items() if not name.startswith(heads)}


_OLD = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""What is norm.1 and conv.2 in the files of its DenseNets, and norm1 and conv2 in the networks."""


def _sets(source: str) -> dict[str, Any]:
    """Give the weights of a network with a classifier, by torchvision's names for them, the default first."""
    from torchvision import models  # `graft list` must not wait for it

    name = source.partition(":")[2]
    if name not in (known := models.list_models(module=models)):
        raise UnknownModel(f"torchvision has no classifier {name!r}.{nearest(name, known)}")
    kind = models.get_model_weights(name)
    return {each.name: each for each in dict.fromkeys((kind.DEFAULT, *kind)) if each.meta["categories"]}


def _preprocessing(source: str, weights: Any) -> Preprocessing:  # noqa: ANN401 - torchvision has no types
    """Read off torchvision's transforms what images go through.

    Its networks with two heads, whose weights want other images than the rest, change them by themselves where they
    are built for these weights. Here the preprocessing does.
    """
    shown = weights.transforms()
    side, resized = shown.crop_size[0], shown.resize_size[0]
    plain = source.partition(":")[2] in TWO_HEADED
    return Preprocessing(
        (side, side),
        mean=(0.5, 0.5, 0.5) if plain else tuple(shown.mean),
        std=(0.5, 0.5, 0.5) if plain else tuple(shown.std),
        interpolation=shown.interpolation.value,
        crop=side * 1000 // resized / 1000,  # rounded down: what is resized for it has the very side
    )


def _file_of(url: str) -> str:
    return Path(urlsplit(url).path).name


def _kept(url: str, name: str, keeping: Keeping) -> Path:
    """Give the path of a file, fetched unless it is there, and see that it is the right one by what its name says.

    Raises:
        WeightsError: if it is damaged, or cannot be fetched.
    """
    place = keeping.folder or Path(torch.hub.get_dir(), "checkpoints")
    path = place / _file_of(url)
    try:
        if not path.exists():
            _fetch(url, path, name, keeping)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read or written: {error.strerror}. Give another --weights-dir."
        ) from error
    wanted = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if wanted and not digest.startswith(wanted[1]):
        raise WeightsError(
            f"{path} is damaged: its checksum begins with {digest[: len(wanted[1])]}, and not as its name says. Delete"
            " it, and ask again."
        )
    return path


def _fetch(url: str, path: Path, name: str, keeping: Keeping) -> None:
    """Fetch a file, whole or not at all.

    Raises:
        WeightsError: if nothing may be fetched, or it does not come.
        OSError: if it cannot be written.
    """
    by_hand = f"fetch {url} elsewhere and put it into {path.parent}, or say with --weights-dir where it is"
    if keeping.offline:
        raise WeightsError(f"{name} is not in {path.parent}, and nothing may be fetched (--offline): {by_hand}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        if isinstance(error, HTTPError):  # which is the answer as well
            error.close()
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{name} could not be fetched ({reason}). Look at the internet connection, or {by_hand}."
        ) from error
