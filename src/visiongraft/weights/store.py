"""Our weight files: safetensors with the network's description, its classes and its preprocessing beside the weights.

A file is all that is needed to use a network again. Nothing in it is ever executed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from visiongraft.blocks.fused import FusedConv
from visiongraft.errors import WeightsError
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import OWN, Blueprint, Foreign, Grafted
from visiongraft.surgery.network import AnyNetwork, ForeignNetwork, blueprint_of, body_of, build, build_empty, fill
from visiongraft.surgery.operation import deeds_of
from visiongraft.weights.description import DETECTOR, DETECTORS, FORMAT, Description, in_short, is_version_of
from visiongraft.weights.paths import path_of
from visiongraft.weights.tensor_file import check_tensors, describing, fault_of, read_tensors, write_tensors


@dataclass(frozen=True)
class Trained:
    """A network with what is needed to use it.

    Args:
        network: spec and weights: a `Network`, or a `ForeignNetwork` around one of others or a grafted one.
        preprocessing: what images go through before the network sees them.
        classes: the name of each class, in the order of the logits; empty where nobody said.
        scores: what was measured with these weights, such as {"val_top1": 0.84}; shares are in [0, 1].
    """

    network: AnyNetwork
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    def at(self, image: int | Grid) -> "Trained":
        """Give the same for another image size in pixels: position tables are resampled.

        The crop and the rest of the preprocessing stay. At the size that this is for already, it is returned itself.
        """
        if self.network.spec.at(image).image == self.network.spec.image == self.preprocessing.image:
            return self
        network: AnyNetwork = self.network.at(image)
        preprocessing = self.preprocessing.at(network.spec.image)
        return Trained(network, preprocessing, self.classes, {})  # scores are those of the old size


def save(
    network: nn.Module,
    path: str | Path,
    *,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a network into one file, whole or not at all.

    Args:
        network: what to save: a `Network`, what `visiongraft.graft` gave, a `ForeignNetwork`, or what torch.compile or
            a wrapper for several devices made of one.
        path: where; by convention it ends in .safetensors.
        preprocessing: what images go through; by default ImageNet's normalisation at the spec's image size.
        classes: the name of each class, as many as there are logits, or none.
        scores: what was measured with these weights.

    Raises:
        WeightsError: if `load` would not read it: it is nothing that a value describes, or differs from that, its
            weights are not finite, or the names or scores are none; and if the file cannot be written.
        SurgeryError: if it was grafted by an example that is no batch of images.
    """
    network = unwrapped(network)
    spec = blueprint_of(network)
    if any(isinstance(module, FusedConv) for module in network.modules()):
        raise WeightsError(
            f"This {spec.name} was folded, and cannot be saved. Save the network that it was made from."
        )
    return save_tensors(
        spec,
        {name.replace(_COMPILED, ""): each for name, each in body_of(network).state_dict().items()},
        path,
        preprocessing=preprocessing,
        classes=classes,
        scores=scores,
    )


_COMPILED = "_orig_mod."
"""What torch.compile puts before the names of the tensors in a module that it wraps."""


def unwrapped(network: nn.Module) -> nn.Module:
    """Give a network without what PyTorch puts around one, to compile it or to spread it over devices.

    Raises:
        WeightsError: if there is none inside that a value describes.
    """
    inside: object = network
    while inside is not None and not _is_described(inside):
        inside = getattr(inside, "_orig_mod", None) or getattr(inside, "module", None)
    if not isinstance(inside, nn.Module):
        if hasattr(network, DETECTOR):
            raise WeightsError(f"This {type(network).__name__} is a detector. visiongraft.detect.save writes it.")
        raise WeightsError(
            f"What is saved is a visiongraft.Network, and this is a {type(network).__name__}. Give one that"
            " create_model made, without features_only, or that graft gave; of others torch.save takes the"
            " state_dict()."
        )
    return inside


def _is_described(network: object) -> bool:
    return isinstance(network, Network | ForeignNetwork) or (
        isinstance(network, nn.Module) and bool(deeds_of(network))
    )


def save_tensors(
    spec: Blueprint,
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
        WeightsError: as in `save`.
    """
    path = path_of(path)
    about = Description(
        spec, Preprocessing(spec.image) if preprocessing is None else preprocessing, classes, scores or {}
    )
    texts = about.texts()
    if not _is_of_user(spec) and (fault := fault_of(_outline(spec), tensors)):
        raise WeightsError(
            f"This {spec.name} cannot be saved, since not all of it follows from its spec: {fault}. Undo what was done"
            " to its layers (after pruning by torch.nn.utils.prune.remove), and change its classifier with"
            " reset_classifier; else torch.save takes its state_dict()."
        )
    write_tensors(path, tensors, texts)
    return path


def _outline(spec: Blueprint, base: nn.Module | None = None) -> dict[str, Tensor]:
    """Give the state dict of a network without its numbers."""
    return body_of(build_empty(spec, base=base)).state_dict()


def _is_of_user(spec: Blueprint) -> bool:
    """Tell whether only the user can build what a value describes."""
    base = spec.base if isinstance(spec, Grafted) else spec
    return isinstance(base, Foreign) and base.source.startswith(f"{OWN}:")


def load(path: str | Path, *, image: int | Grid | None = None, base: nn.Module | None = None) -> AnyNetwork:
    """Read a network, in eval mode: a `Network`, or a `ForeignNetwork` around one of others or a grafted one.

    Args:
        path: a file that `save` wrote.
        image: native size in pixels to resample the position tables for; by default the file's own.
        base: for a grafted network that only the user can build, that network without its grafts; it is copied.

    Raises:
        WeightsError: if the file is missing, damaged, or of another format, or its weights are not finite.
    """
    return read(path, image=image, base=base).network


def is_ours(path: str | Path) -> bool:
    """Tell whether a file is of a network or a detector of ours, in any version. What cannot be read is none."""
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("format", "")
    except (SafetensorError, OSError):
        return False
    return is_version_of(FORMAT, found) or is_version_of(DETECTORS, found)


def read(path: str | Path, *, image: int | Grid | None = None, base: nn.Module | None = None) -> Trained:
    """Read a network with its preprocessing, classes and scores. Arguments and errors as in `load`."""
    path = path_of(path)
    texts, tensors = read_tensors(path)
    _check_format(texts.get("format", ""), path)
    with describing(path):
        about = Description.read(texts)
        wanted = _outline(about.spec, base)
    check_tensors(wanted, tensors, path)
    network = build(about.spec, base=base)
    fill(network, tensors)
    trained = Trained(network.eval(), about.preprocessing, tuple(about.classes), about.scores)
    return trained if image is None else trained.at(image)


def _check_format(found: str, path: Path) -> None:
    if found == FORMAT:
        return
    if is_version_of(DETECTORS, found):
        raise WeightsError(f"{path} holds a detector, and no network by itself. visiongraft.detect.load reads it.")
    if is_version_of(FORMAT, found):
        raise WeightsError(
            f"{path} is of format {in_short(found)!r}; this version reads {FORMAT!r}. Read it with the version of"
            " visiongraft that wrote it."
        )
    raise WeightsError(
        f"{path} holds no network description, so it is of others: `graft convert` makes a file of ours of it. Timm's"
        " are also read as they are, with their network named beside them: model=NAME for visiongraft.read_weights,"
        " --model NAME for `graft train`."
    )
