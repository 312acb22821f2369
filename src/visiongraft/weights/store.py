"""Our weight files: safetensors with the network's description, its classes and its preprocessing beside the weights.

A file is all that is needed to use a network again. Nothing in it is ever executed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from errno import EISDIR
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from visiongraft.errors import SurgeryError, UnknownWord, WeightsError
from visiongraft.files import draft_of
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import OWN, Blueprint, Foreign, Grafted
from visiongraft.surgery.network import AnyNetwork, ForeignNetwork, blueprint_of, body_of, build
from visiongraft.surgery.operation import deeds_of
from visiongraft.surgery.rehearsal import on_meta
from visiongraft.weights.description import FORMAT, Description, in_short
from visiongraft.weights.foreign import FRACTIONS, is_finite, looks_like_a_pickle, oddity, read_safetensors
from visiongraft.weights.paths import path_of


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
    return save_tensors(
        blueprint_of(network),
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
    if not _is_of_user(spec) and (fault := _fault(_outline(spec), tensors)):
        raise WeightsError(
            f"This {spec.name} cannot be saved, since not all of it follows from its spec: {fault}. Undo what was done"
            " to its layers (after pruning by torch.nn.utils.prune.remove), and change its classifier with"
            " reset_classifier; else torch.save takes its state_dict()."
        )
    apart = _apart(tensors)
    if name := _not_finite(apart):
        raise WeightsError(f"{name!r} holds NaN or infinity, so it is not saved. Save the weights of before.")
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "Is a directory")
        with draft_of(path) as draft:
            save_file(apart, draft, texts)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(f"{path} cannot be written: {reason}. Choose another place.") from error
    return path


def _outline(spec: Blueprint, base: nn.Module | None = None) -> dict[str, Tensor]:
    """Give the state dict of a network without its numbers, which may be more than a memory holds."""
    with torch.device("meta"):
        return body_of(build(spec, base=base and on_meta(base, ()).network)).state_dict()


def _is_of_user(spec: Blueprint) -> bool:
    """Tell whether only the user can build what a value describes."""
    base = spec.base if isinstance(spec, Grafted) else spec
    return isinstance(base, Foreign) and base.source.startswith(f"{OWN}:")


def _fault(wanted: Mapping[str, Tensor], found: Mapping[str, object]) -> str:
    """Say how tensors differ from those of a network; empty where only the precision of fractions does."""
    odd = sorted(
        name
        for name in wanted.keys() | found.keys()
        if name not in wanted or not _alike(wanted[name], found.get(name))
    )
    if not odd:
        return ""
    return f"{len(odd)} tensors are missing, left over, or of another shape or type, the first is {odd[0]!r}"


def _alike(wanted: Tensor, found: object) -> bool:
    if not isinstance(found, Tensor) or found.shape != wanted.shape:
        return False
    return found.dtype in FRACTIONS if wanted.dtype in FRACTIONS else found.dtype == wanted.dtype


def _not_finite(tensors: Mapping[str, Tensor]) -> str:
    """Name the first tensor with a number that is none, or too large for a network; empty for none."""
    return next((name for name, each in tensors.items() if each.is_floating_point() and not is_finite(each)), "")


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
    """Tell whether a file is one that `save` wrote, in any version. What cannot be read is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return _is_our_format((file.metadata() or {}).get("format", ""))
    except (SafetensorError, OSError):
        return False


def _is_our_format(text: str) -> bool:
    return text.startswith(FORMAT.partition("/")[0])


def read(path: str | Path, *, image: int | Grid | None = None, base: nn.Module | None = None) -> Trained:
    """Read a network with its preprocessing, classes and scores. Arguments and errors as in `load`."""
    path = path_of(path)
    texts, tensors = _read_tensors(path)
    _check_format(texts.get("format", ""), path)
    try:
        about = Description.read(texts)
        wanted = _outline(about.spec, base)
    except SurgeryError as error:
        raise WeightsError(f"The network in {path} cannot be built again: {error}") from error
    except UnknownWord as error:
        raise WeightsError(
            f"{path} describes its network by a word that is not known here: {error} If it is a mixer of somebody's"
            " own, run what registers it first, or give that file as --plugin."
        ) from error
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
        reason = in_short(str(error)).removesuffix(".")  # GraftError is a ValueError
        raise WeightsError(
            f"{path} describes its network in a way that cannot be read: {reason}. {_AGAIN}."
        ) from error
    if fault := _fault(wanted, tensors):
        raise WeightsError(
            f"{path} does not fit the network that it describes: {fault}. The file is damaged. {_AGAIN}."
        )
    if name := _not_finite(tensors):
        raise WeightsError(
            f"{path} holds NaN or infinity in {name!r}: it is damaged, or its training diverged. {_AGAIN}, or use"
            " another."
        )
    network = build(about.spec, base=base)
    body_of(network).load_state_dict(tensors)
    trained = Trained(network.eval(), about.preprocessing, tuple(about.classes), about.scores)
    return trained if image is None else trained.at(image)


_AGAIN = "Take it from its source again"


def _check_format(found: str, path: Path) -> None:
    if found == FORMAT:
        return
    if _is_our_format(found):
        raise WeightsError(
            f"{path} is of format {in_short(found)!r}; this version reads {FORMAT!r}. Read it with the version of"
            " visiongraft that wrote it."
        )
    raise WeightsError(
        f"{path} holds no network description, so it is of others: `graft convert` makes a file of ours of it. Timm's"
        " are also read as they are, with their network named beside them: model=NAME for visiongraft.read_weights,"
        " --model NAME for `graft train`."
    )


def _read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}. Give the path of a .safetensors file."
        ) from error
    if not start:
        raise WeightsError(f"{path} is empty. {_AGAIN}.")
    if looks_like_a_pickle(start):
        kind = "zip archive, as torch.save writes" if start[:2] == b"PK" else "pickle, as older PyTorch wrote"
        raise WeightsError(
            f"{path} is a {kind}, and no file of ours. If it holds the weights of a network of the zoo, `graft convert"
            " FILE OUT.safetensors --from SOURCE --model NAME` makes one of it and runs nothing that is in it; else"
            " give a .safetensors file."
        )
    return read_safetensors(path)
