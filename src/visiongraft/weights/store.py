"""Our weight files: safetensors with the network's description, its classes and its preprocessing beside the weights.

A file is all that is needed to use a network again. Nothing in it is ever executed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from visiongraft.errors import WeightsError
from visiongraft.files import draft_of
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.weights.foreign import looks_like_a_pickle, oddity, read_safetensors

FORMAT = "visiongraft.weights/1"
"""Name and version of the file format. It rises when an older file would be misread."""


@dataclass(frozen=True)
class Trained:
    """A network with what is needed to use it.

    Args:
        network: spec and weights.
        preprocessing: what images go through before the network sees them.
        classes: the name of each class, in the order of the logits; empty where nobody said.
        scores: what was measured with these weights, such as {"val_top1": 0.84}; shares are in [0, 1].
    """

    network: Network
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    def at(self, image: int | Grid) -> "Trained":
        """Give the same for another image size in pixels: position tables are resampled.

        The crop and the rest of the preprocessing stay. At the size that this is for already, it is returned itself.
        """
        if self.network.spec.at(image).image == self.network.spec.image == self.preprocessing.image:
            return self
        network = self.network.at(image)
        preprocessing = self.preprocessing.at(network.spec.image)
        return Trained(network, preprocessing, self.classes, {})  # scores are those of the old size


def save(
    network: Network,
    path: str | Path,
    *,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a network into one file, whole or not at all.

    Args:
        network: what to save.
        path: where; by convention it ends in .safetensors.
        preprocessing: what images go through; by default ImageNet's normalisation at the spec's image size.
        classes: the name of each class, as many as there are logits, or none.
        scores: what was measured with these weights.

    Raises:
        WeightsError: if the classes are not as many as the logits, or the file cannot be written.
    """
    return save_tensors(
        network.spec,
        network.state_dict(),
        path,
        preprocessing=preprocessing,
        classes=classes,
        scores=scores,
    )


def save_tensors(
    spec: Backbone,
    tensors: Mapping[str, Tensor],
    path: str | Path,
    *,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a network's tensors without the network: what needs no change goes from its place to the disk.

    Args:
        spec: what the tensors are of.
        tensors: the whole state dict of that network.
        path: as in `save`.
        preprocessing: as in `save`.
        classes: as in `save`.
        scores: as in `save`.

    Raises:
        WeightsError: as in `save`, and if a tensor holds no numbers, or is not dense.
    """
    if classes and len(classes) != spec.head.num_classes:
        raise WeightsError(
            f"{len(classes)} class names came for {spec.head.num_classes} logits. Name each class, or none."
        )
    metadata = {
        "format": FORMAT,
        "spec": spec.to_json(),
        "preprocessing": json.dumps((preprocessing or Preprocessing(spec.image)).to_dict()),
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "scores": json.dumps(dict(scores or {})),
    }
    path = Path(path)
    try:
        with draft_of(path) as draft:
            save_file(_apart(tensors), draft, metadata)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(f"{path} cannot be written: {reason}. Choose another place.") from error
    return path


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors as a file takes them: each in one piece, on the CPU, and in memory of its own."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, each in tensors.items():
        if odd := oddity(each):
            raise WeightsError(f"{name!r} is {odd}, which no file can take. Give it numbers, and make it dense.")
        tensor = each.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()  # of the whole of it: two parts of one may overlap
        found[name] = tensor.clone() if memory in taken else tensor
        taken.add(memory)
    return found


def load(path: str | Path, *, image: int | Grid | None = None) -> Network:
    """Read a network, in eval mode.

    Args:
        path: a file that `save` wrote.
        image: native size in pixels to resample the position tables for; by default the file's own.

    Raises:
        WeightsError: if the file is missing, damaged, or of another format.
    """
    return read(path, image=image).network


def is_ours(path: str | Path) -> bool:
    """Tell whether a file is one that `save` wrote, in any version. What cannot be read is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format", "").startswith(FORMAT.partition("/")[0])
    except (SafetensorError, OSError):
        return False


def read(path: str | Path, *, image: int | Grid | None = None) -> Trained:
    """Read a network with its preprocessing, classes and scores. Arguments and errors as in `load`."""
    path = Path(path)
    metadata, tensors = _read_tensors(path)
    found = metadata.get("format")
    if found != FORMAT:
        reason = f"is of format {found!r}; this version reads {FORMAT!r}" if found else "holds no network description"
        raise WeightsError(
            f"{path} {reason}. Write such files with visiongraft.save or `graft train`, or with `graft convert` from"
            " weights of others. Timm's are also read as they are, with their network named beside them: model=NAME"
            " for visiongraft.read_weights, --model NAME for `graft train`."
        )
    try:
        spec = Backbone.from_json(metadata["spec"])
        with torch.device("meta"):  # a description may ask for more memory than there is: first see whether it fits
            network = Network(spec)
        preprocessing = Preprocessing.from_dict(json.loads(metadata["preprocessing"]))
        classes, scores = json.loads(metadata["classes"]), json.loads(metadata["scores"])
        if not isinstance(scores, dict) or not all(isinstance(each, int | float) for each in scores.values()):
            raise WeightsError("its scores are no numbers with names")
        if not isinstance(classes, list) or not all(isinstance(each, str) for each in classes):
            raise WeightsError("its classes are no list of names")
        if classes and len(classes) != network.num_classes:
            raise WeightsError(f"it names {len(classes)} classes for {network.num_classes} logits")
    except (
        KeyError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        RuntimeError,
    ) as error:  # GraftError is a ValueError
        raise WeightsError(f"{path} describes its network in a way that cannot be read: {error}") from error
    _check_shapes(network, tensors, path)
    network = Network(spec)
    network.load_state_dict(tensors)
    trained = Trained(network.eval(), preprocessing, tuple(classes), scores)
    return trained if image is None else trained.at(image)


def _check_shapes(network: Network, tensors: dict[str, Tensor], path: Path) -> None:
    wanted = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    found = {name: tuple(each.shape) for name, each in tensors.items()}
    if wanted != found:
        odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise WeightsError(
            f"{path} does not fit the network that it describes: {len(odd)} tensors are missing, left over or of"
            f" another shape, the first is {odd[0]}. The file is damaged; take it from its source again."
        )


def _read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}. Give the path of a .safetensors file."
        ) from error
    if looks_like_a_pickle(start):
        kind = "zip archive, as torch.save writes" if start[:2] == b"PK" else "pickle, as older PyTorch wrote"
        raise WeightsError(
            f"{path} is a {kind}, and no file of ours. If it holds the weights of a network of the zoo, `graft convert"
            " FILE OUT.safetensors --from SOURCE --model NAME` makes one of it and runs nothing that is in it; else"
            " give a .safetensors file."
        )
    return read_safetensors(path)
