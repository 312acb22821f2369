"""A network as a folder, as the Hugging Face hub keeps them: model.safetensors and config.json.

The weight file is ours and says all that there is to say. The configuration says it once more, with timm's words, for
those who read nothing else: with `visiongraft.timm` imported, `timm.create_model("local-dir:FOLDER", pretrained=True)`
builds the same network.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import nn

from visiongraft.errors import WeightsError
from visiongraft.files import draft_of
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.network import blueprint_of
from visiongraft.weights.paths import path_of
from visiongraft.weights.store import load, save, unwrapped
from visiongraft.weights.timm_config import PREFIX, architecture, pretrained_cfg

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def save_pretrained(
    network: nn.Module,
    folder: str | Path,
    *,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a network into a folder, as `save_pretrained` of other libraries does.

    Args:
        network: what to save, as in `save`.
        folder: where; it is made if it is not there. Other files in it stay.
        preprocessing: what images go through; by default ImageNet's normalisation at the spec's image size.
        classes: the name of each class, as many as there are logits, or none.
        scores: what was measured with these weights.

    Returns:
        The folder.

    Raises:
        WeightsError: as `save` does, and for a grafted network; no new folder is left behind then.
    """
    folder, network = path_of(folder, "folder"), _of_ours(unwrapped(network))
    preprocessing = preprocessing or Preprocessing(network.spec.image)
    config = json.dumps(_config(network, preprocessing, classes), indent=2)
    with _new_only_if_filled(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with draft_of(folder / CONFIG) as draft:  # which is on the disk before the weights take their place
                with draft.open("wb") as file:
                    file.write(f"{config}\n".encode())
                    file.flush()
                    os.fsync(file.fileno())
                save(network, folder / WEIGHTS, preprocessing=preprocessing, classes=classes, scores=scores)
        except OSError as error:
            reason = f"cannot be written as a folder: {error.strerror}"
            raise WeightsError(f"{folder} {reason}. Choose another place.") from error
    return folder


@contextmanager
def _new_only_if_filled(folder: Path) -> Iterator[None]:
    """Take a folder, and those above it, away again on an error, where they were not there before."""
    new = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        yield
    except BaseException:  # Ctrl-C as well
        with suppress(OSError):
            for each in new:
                each.rmdir()
        raise


def from_pretrained(folder: str | Path, *, image: int | Grid | None = None) -> Network:
    """Read a network from a folder that `save_pretrained` wrote, in eval mode.

    Args:
        folder: the folder, on this machine.
        image: native size in pixels to resample the position tables for; by default the folder's own.

    Raises:
        WeightsError: if it is no folder, has no weights, or is damaged or of another library.
    """
    folder = path_of(folder, "folder")
    if not folder.is_dir():
        what = "a file; visiongraft.load reads one" if folder.exists() else "not there, and nothing is fetched"
        raise WeightsError(
            f"{folder} is {what}. from_pretrained takes a folder that save_pretrained wrote; published weights come by"
            " create_model(NAME, pretrained=True)."
        )
    named = _named_in(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        raise WeightsError(f"{folder} has no {WEIGHTS}. Give the folder that save_pretrained wrote.")
    network = _of_ours(load(folder / WEIGHTS, image=image))
    if named not in (None, own := architecture(network.spec)):
        raise WeightsError(
            f"{folder} holds weights of {own!r} beside a {CONFIG} of {named!r}, and both were to be of one network. If"
            f" the weights are the right ones, take {CONFIG} away; else write the folder again."
        )
    return network


def _of_ours(network: nn.Module) -> Network:
    """Refuse what timm's words cannot describe: networks of others, and grafted ones."""
    spec = blueprint_of(network)
    if not (isinstance(network, Network) and spec is network.spec):
        raise WeightsError(
            f"{spec.name} cannot be kept as a folder, which is for networks of a Backbone. visiongraft.save writes it"
            " as a file, and visiongraft.load reads that."
        )
    return network


def _config(network: Network, preprocessing: Preprocessing, classes: Sequence[str]) -> dict[str, Any]:
    spec = network.spec
    config: dict[str, Any] = {
        "architecture": architecture(spec),
        "num_classes": spec.head.num_classes,
        "num_features": network.num_features,
        "library_name": "visiongraft",
        "model_args": {"img_size": spec.image, "in_chans": spec.in_chans, "num_classes": spec.head.num_classes},
        "pretrained_cfg": pretrained_cfg(spec, preprocessing),
    }
    return config | ({"label_names": list(classes)} if classes else {})


def _named_in(path: Path) -> str | None:
    """Give the architecture that a configuration of ours names; None where there is no such file.

    Raises:
        WeightsError: if it is damaged, or of another library.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # no text, or no JSON
        raise WeightsError(f"{path} is no whole JSON file: {error}. Take the folder from its source again.") from error
    config = config if isinstance(config, dict) else {}
    named = config.get("architecture") or config.get("model_type")
    if not str(named).startswith(PREFIX):
        files = [each for each in (path.with_name(WEIGHTS), path.with_name("pytorch_model.bin")) if each.is_file()]
        remedy = "; if the weights are timm's for a network of the zoo, create_model(NAME, weights='{}') takes them"
        raise WeightsError(
            f"{path} is of another library: it names {named!r}, and those of save_pretrained begin with {PREFIX!r}."
            f" Load it with that library{remedy.format(files[0]) if files else ''}."
        )
    return str(named)
