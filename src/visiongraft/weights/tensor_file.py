"""What all our weight files have in common: tensors that are whole, finite, and those of what the file describes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from visiongraft.errors import SurgeryError, UnknownWord, WeightsError
from visiongraft.files import draft_of
from visiongraft.weights.description import in_short
from visiongraft.weights.foreign import FRACTIONS, is_finite, looks_like_a_pickle, oddity, read_safetensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """Write tensors and texts into one file, whole or not at all.

    Raises:
        WeightsError: if a number is not finite, or the file cannot be written.
    """
    apart = _apart(tensors)
    if name := _not_finite(apart):
        raise WeightsError(f"{name!r} holds NaN or infinity, so it is not saved. Save the weights of before.")
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "Is a directory")
        with draft_of(path) as draft:
            save_file(apart, draft, dict(texts))
            _sort_texts(draft)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(f"{path} cannot be written: {reason}. Choose another place.") from error


def _sort_texts(path: Path) -> None:
    """Put the texts of a file into order: safetensors writes them in any, and the same weights gave other bytes."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(_SIZE), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        sorted_header = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(sorted_header) <= size:  # else it writes a character in some other way, and stays as it is
            file.seek(_SIZE)
            file.write(sorted_header.ljust(size))


_SIZE = 8  # bytes of the length of the header, which comes first


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read the texts and the tensors of a file of ours.

    Raises:
        WeightsError: if it is missing, empty, damaged, or a pickle.
    """
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


@contextmanager
def describing(path: Path) -> Iterator[None]:
    """Say of what goes wrong while a file's own description is followed, that it does.

    Raises:
        WeightsError: in the place of whatever goes wrong.
    """
    try:
        yield
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


_AGAIN = "Take it from its source again"


def check_tensors(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    """See that the tensors of a file are those of what it describes, and finite.

    Raises:
        WeightsError: if they are not.
    """
    if fault := fault_of(wanted, found):
        raise WeightsError(
            f"{path} does not fit the network that it describes: {fault}. The file is damaged. {_AGAIN}."
        )
    if name := _not_finite(found):
        raise WeightsError(
            f"{path} holds NaN or infinity in {name!r}: it is damaged, or its training diverged. {_AGAIN}, or use"
            " another."
        )


def fault_of(wanted: Mapping[str, Tensor], found: Mapping[str, object]) -> str:
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
