"""Weight files of others, read without running anything that is in them."""

import pickle
import pickletools
import re
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import safe_globals

from visiongraft.errors import WeightsError
from visiongraft.weights.description import in_short
from visiongraft.weights.paths import path_of

Which = Literal["auto", "averaged", "last"]
"""Which weights of a checkpoint: the "averaged" ones, the "last" ones, or "auto": averaged where there are any."""


@dataclass(frozen=True, eq=False)
class Foreign:
    """What a file of others held.

    Args:
        tensors: by the names that the source gave them. They lie in the file, which is read where it is looked at.
        taken: the part of the file they are from, such as "state_dict_ema"; empty where the file holds nothing else.
        averaged: whether that part is called what averaged weights are called.
        others: further sets of weights in the file, which were not taken.
    """

    tensors: dict[str, Tensor]
    taken: str = ""
    averaged: bool = False
    others: tuple[str, ...] = ()

    @contextmanager
    def telling_of_others(self) -> Iterator[None]:
        """Name the sets that were not taken in whatever error says that these weights do not fit."""
        try:
            yield
        except WeightsError as error:
            if not self.others:
                raise
            other = "last" if self.averaged else "averaged" if _averaged(self.others) else ""
            remedy = f"`graft convert --take {other}` takes such" if other else "Save the right ones alone"
            raise WeightsError(
                f"{error} These are the weights {self.taken or _ITSELF}, and not taken were {', '.join(self.others)}."
                f" {remedy}."
            ) from None


def read_state_dict(path: str | Path, *, which: Which = "auto") -> Foreign:
    """Read the tensors of a .safetensors file or of a checkpoint of PyTorch.

    A checkpoint may hold more, such as an optimizer's state: it is passed over. Nothing in a file is executed.

    Args:
        path: the file; its content counts, and not how it is called.
        which: which weights to take where the file holds averaged ones beside the last ones.

    Raises:
        WeightsError: if the file is missing, damaged, of another kind, would run code, or holds no such weights, or
            weights without numbers of their own.
    """
    path = path_of(path)
    start = _start(path)
    if start[8:9] == b"{":
        return Foreign(read_safetensors(path)[1])
    if not looks_like_a_pickle(start):
        raise WeightsError(f"{path} {_what_it_is(start)}")
    content = _unpickle(path, mapped=start[:2] == b"PK")
    if start[:2] == b"PK" and (part := _damaged_part(path)):
        raise WeightsError(f"{path} is damaged: the checksum of {part} in it is another one. {_REMEDY}.")
    tensors, taken, others = _choose(path, content, which)
    for name, each in tensors.items():
        if isinstance(each, Tensor) and (odd := oddity(each)):
            raise WeightsError(
                f"{path} has {name!r} as {odd}, and tensors that are dense and hold their numbers were expected. Save"
                " the state_dict() of a network that is whole in memory, each tensor made dense with .to_dense()."
            )
    tensors = {name: Tensor.detach(each) if isinstance(each, Tensor) else each for name, each in tensors.items()}
    return Foreign(tensors, taken, bool(_averaged([taken])), others)


def looks_like_a_pickle(start: bytes) -> bool:
    """Judge by a file's first nine bytes: safetensors begin with the length of a header, which may begin with 0x80."""
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[8:9] != b"{")


def oddity(tensor: Tensor) -> str:
    """Say what a tensor is that does not hold its numbers in one dense block of memory; empty for one that does."""
    if tensor.is_meta:
        return "a tensor of the meta device, which has a shape and no numbers"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"a tensor of the layout {'nested' if tensor.is_nested else str(tensor.layout).removeprefix('torch.')}"
    return f"a quantized tensor ({tensor.dtype})" if tensor.is_quantized else ""


def is_finite(tensor: Tensor) -> bool:
    """Tell whether all numbers of a tensor are some in float32 too, in which networks have them."""
    return not tensor.numel() or bool(torch.stack(torch.aminmax(tensor)).float().isfinite().all())  # NaN is both


FRACTIONS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""What the weights of networks may be stored in; other types are those of quantised ones."""

_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
_LAST = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights")

_ITSELF = "of the file itself"
"""What the weights are called that lie in a file beside other sets of weights, and in none of them."""

_GIVE = "Give a .safetensors file, or what torch.save wrote."
_REMEDY = "Take it from its source again"


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}. Give the path of a weight file.") from error
    if not start:
        raise WeightsError(f"{path} is empty. {_REMEDY}.")
    return start


def _what_it_is(start: bytes) -> str:
    """Say what a file is that holds no weights, as far as its first bytes tell."""
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"is a web page, as links give that ask for a confirmation before the download. {_GIVE}"
    if text.startswith(b"version https://git-lfs"):
        return f"is a pointer of Git LFS and not the file itself: `git lfs pull` fetches that. {_GIVE}"
    if found := _OLD_PICKLE.match(start):
        return _calling(f"{found[1].decode()}.{found[2].decode()}", "pickle")
    return f"holds no weights in a form that is known here, or is damaged. {_GIVE}"


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read the texts and the tensors of a .safetensors file.

    Raises:
        WeightsError: if it is damaged, or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return file.metadata() or {}, tensors
    except SafetensorError as error:
        raise WeightsError(f"{path} is no whole safetensors file: {error}. {_REMEDY}.") from error


class _Nothing:
    """Stands for what a checkpoint notes beside its weights: takes whatever comes, and keeps nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_NOTES = (
    (_Nothing, "argparse.Namespace"),
    (OrderedDict, "yacs.config.CfgNode"),
    (OrderedDict, "easydict.EasyDict"),
    *((_Nothing, f"numpy.{package}.multiarray.{name}") for package in ("core", "_core") for name in ("scalar",)),
    *((_Nothing, f"numpy.{name}") for name in ("dtype", "dtypes.Float64DType", "dtypes.Float32DType")),
)
"""Settings and scores, which training scripts write beside the weights: what is made of each instead, and its name."""

_ONE_READER = Lock()
"""What PyTorch's unpickler permits, and which warnings are shown, is said for the whole process: of two files that are
read at the same time, the first to end would take the permission from the other. No stand-in runs anything, so what
another thread reads by itself meanwhile is as safe as ever."""

_OLD_PICKLE = re.compile(rb"c([A-Za-z_][\w.]*)\n([A-Za-z_]\w*)\n")
"""How a pickle of the first protocols begins that calls something at once."""

_RUNS = re.compile(r"GLOBAL (\S+) (?:was not an allowed|whose module)|unrecognized function (.+?)(?: which|$)", re.M)


def _unpickle(path: Path, *, mapped: bool) -> Any:  # noqa: ANN401 - whatever a checkpoint holds
    """Read a checkpoint by PyTorch's unpickler of tensors and plain values, which calls nothing that a file names."""
    try:
        with _ONE_READER, safe_globals(list(_NOTES)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of archives and protocols that are refused in the next moment
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file can make it raise anything
        if not mapped and (name := _called_by(path)):
            raise WeightsError(f"{path} {_calling(name, 'pickle')}") from None
        found = _RUNS.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if found:
            raise WeightsError(f"{path} {_calling(found[1] or found[2], 'checkpoint')}") from None
        if "TorchScript" in str(error):
            reason = "is a TorchScript archive, which is code. Save the state_dict() of what torch.jit.load gives"
            raise WeightsError(f"{path} {reason}.") from None
        if mapped and _is_another_archive(path):
            raise WeightsError(f"{path} is a zip archive without tensors of PyTorch. {_GIVE}") from None
        raise WeightsError(f"{path} is no whole checkpoint of PyTorch. {_REMEDY}.") from error


def _called_by(path: Path) -> str:
    """Name the first thing that a pickle would have Python call while it is read; empty for nothing. None is run."""
    texts = ["", ""]
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                name = str(argument).replace(" ", ".") if opcode.name in ("GLOBAL", "INST") else ""
                name = ".".join(texts) if opcode.name == "STACK_GLOBAL" else name
                if name and name != "collections.OrderedDict":
                    return name
                texts = [texts[-1], argument] if isinstance(argument, str) else texts
    except (ValueError, OSError):
        pass  # it is damaged from there on
    return ""


def _is_another_archive(path: Path) -> bool:
    """Tell whether a zip archive is whole and lacks the pickle in which torch.save describes tensors."""
    try:
        with ZipFile(path) as archive:
            return not any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # it is damaged


def _damaged_part(path: Path) -> str:
    """Name a part of an archive that is not as it was written; empty if all are, or have no checksum, which is 0."""
    name = ""
    try:
        with ZipFile(path) as archive:
            for part in archive.infolist():
                name = part.filename
                with archive.open(part) as file:
                    while part.CRC and file.read(2**20):
                        pass
    except (BadZipFile, OSError, ValueError, NotImplementedError, EOFError, zlib.error):
        return name  # of an archive that only PyTorch can read nothing is known
    return ""


def _calling(name: str, kind: Literal["checkpoint", "pickle"]) -> str:
    """Say what a file is that would have Python call something, and how to get its tensors out."""
    what = {"checkpoint": "asks to run code when it is read", "pickle": "is a plain pickle that asks to run code"}[
        kind
    ]
    reader = {"checkpoint": "torch.load(FILE, weights_only=False)", "pickle": "Python's pickle"}[kind]
    tensors = "STATE_DICT"
    if name.startswith("numpy."):
        what = "holds NumPy arrays, which only code can read"
        tensors = "{name: torch.as_tensor(each) for name, each in STATE_DICT.items()}"
    return (
        f"{what} ({name}), and was refused. If you trust its source, read it with {reader}, save its tensors alone (of"
        f" a whole model its state_dict()), with torch.save({tensors}, NEW), and give that."
    )


def _choose(path: Path, content: object, which: Which) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    """Find the weights in a checkpoint: the tensors, what they are called there, and the names of other weights."""
    sets = _sets(content)
    if not sets:
        raise WeightsError(f"{path} holds no weights{_elsewhere(content)}")
    averaged = _averaged(sets)
    last = _called(_LAST, [name for name in sets if name not in averaged])
    last = last or [name for name in sets if name not in averaged]
    if "" in sets and which == "averaged" and not averaged:
        raise WeightsError(f"{path} holds one set of weights and does not say that they are averaged. Take 'last'.")
    whole = [name for name in averaged if not last or 2 * len(sets[name]) > len(sets[last[0]])]
    wanted = {"auto": whole or last or averaged, "averaged": averaged, "last": last}[which]
    if not wanted:
        raise WeightsError(f"{path} holds no {which} weights, only {', '.join(sets)}. Ask for the others, or 'auto'.")
    if not _called(_AVERAGED + _LAST, wanted[:1]) and wanted[0] and len(wanted) > 1:
        raise WeightsError(f"{path} holds several dicts of tensors: {', '.join(wanted)}. Save the right one alone.")
    return sets[wanted[0]], wanted[0], tuple(name or _ITSELF for name in sets if name != wanted[0])


def _called(words: tuple[str, ...], names: Iterable[str]) -> list[str]:
    """Give the names of sets that are one of the words, or lie in a dict or hold one that is, in the words' order."""
    parts = {name: name.split(".") for name in names}
    return list(dict.fromkeys(name for word in words for name, each in parts.items() if word in each[:2]))


def _averaged(names: Iterable[str]) -> list[str]:
    """Give the names of sets that are called as averaged weights are: well-known names first, then such as net_ema."""
    parts = {name: name.split(".")[:2] for name in names}
    other = [name for name, each in parts.items() if any(re.search("^ema_|_ema$", word) for word in each)]
    return list(dict.fromkeys(_called(_AVERAGED, parts) + other))


def _elsewhere(content: object) -> str:
    """Say where in a checkpoint tensors lie that were not looked for there, or what is odd about their names."""
    found = max(_dicts_in(content, ""), key=lambda each: _count(each[1]), default=("", {}))
    place, tensors = in_short(found[0]), found[1]
    if not _count(tensors):
        return ": there is no dict of tensors by name in it. Give one that does."
    odd = next((name for name in tensors if not isinstance(name, str)), None)
    if odd is None:
        return f" where they are looked for. Save torch.load(FILE){place} alone, with torch.save, and give that."
    where = f" in {place}" if place else ""
    return f"{where} by names alone: one is {in_short(repr(odd))}. Save them without it, and give that."


def _dicts_in(content: object, place: str, depth: int = 4) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Give every dict in a checkpoint, with how Python gets there."""
    inside = _plain(content)
    if inside:
        yield place, inside
    if isinstance(content, list | tuple):
        inside = dict(enumerate(content))
    for key, each in inside.items() if depth else ():
        yield from _dicts_in(each, f"{place}[{key!r}]", depth - 1)


def _count(content: dict[Any, Any]) -> int:
    return sum(isinstance(each, Tensor) for each in content.values())


def _sets(content: object) -> dict[str, dict[str, Tensor]]:
    """Give every dict of tensors in a checkpoint by its name, "a.b" for one in another that is called as weights are.

    The checkpoint itself has no name. It counts where it holds about as many tensors as the largest of those in it.
    """
    whole = _plain(content)
    inside = {str(name): _plain(each) for name, each in whole.items()}
    deeper = {f"{name}.{key}": _plain(each) for name, found in inside.items() for key, each in found.items()}
    inside |= {name: deeper[name] for name in [*_averaged(deeper), *_called(_LAST, deeper)]}
    found = {name: each for name, each in inside.items() if _tensors_in(each)}
    if 2 * _tensors_in(whole) > max(map(_tensors_in, found.values()), default=0):
        found = {"": {name: each for name, each in whole.items() if not isinstance(each, dict)}, **found}
    return found


def _plain(content: object) -> dict[Any, Any]:
    """Give the entries of a dict and nothing else: a file can set attributes of an OrderedDict, such as `items`."""
    return dict(dict.items(content)) if isinstance(content, dict) else {}


def _tensors_in(content: dict[Any, Any]) -> int:
    """Count the tensors in a dict of tensors by name, which may hold buffers of other kinds; 0 for another dict."""
    return _count(content) if all(isinstance(name, str) for name in content) else 0
