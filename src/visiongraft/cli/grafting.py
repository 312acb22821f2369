"""Networks of others, grafts and mixers of the user's own, as somebody writes them behind an option."""

import importlib.util
import re
import sys
from dataclasses import is_dataclass
from hashlib import blake2b
from pathlib import Path

from visiongraft.blocks.site import Block
from visiongraft.errors import GraftError
from visiongraft.families.zoo import customized
from visiongraft.surgery.foreign import Blueprint, Foreign, Grafted
from visiongraft.surgery.words import Graft, Loss
from visiongraft.vocabulary import read_word, register, spelt


def blueprint_named(model: str) -> Blueprint:
    """Give the network of a name: of the zoo, or with a library before it, as torchvision:resnet50.

    Raises:
        GraftError: if there is none.
    """
    return Foreign(model) if ":" in model else customized(model)


def grafted(spec: Blueprint, grafts: tuple[Graft, ...]) -> Blueprint:
    """Give a network with more grafts than it has."""
    if not grafts:
        return spec
    base, before = (spec.base, spec.grafts) if isinstance(spec, Grafted) else (spec, ())
    return Grafted(base, (*before, *grafts))


def parse_grafts(text: str | None, lose: str | None) -> tuple[Graft, ...]:
    """Read --graft: AT=MIXER replaces convolutions, AT+=MIXER inserts behind modules; several have ; between them.

    Args:
        text: what the user wrote.
        lose: what convolutions may lose, behind --graft-lose, with commas between.

    Raises:
        GraftError: if it is no such thing.
    """
    may_go = tuple(each.strip() for each in (lose or "").split(",") if each.strip())
    if "|" in (text or ""):
        raise GraftError(
            "--graft has | between grafts of several networks for `graft compare`, and ; for one network."
        )
    if may_go and not text:
        raise GraftError("--graft-lose came without --graft, and means nothing then.")
    found = []
    for each in (text or "").split(";"):
        if not each.strip():
            continue
        parts = re.fullmatch(r"\s*([^=+\s]+)\s*(\+?=)\s*(.+?)\s*", each)
        if not parts:
            raise GraftError(
                f"--graft takes PLACE=MIXER, as layer4.*.conv2=GridAttention(heads=4), or PLACE+=MIXER to insert one,"
                f" and got {each.strip()!r}."
            )
        mixer = read_word(parts[3])
        if not isinstance(mixer, Block):
            raise GraftError(f"--graft takes a mixer, and got {spelt(mixer)}, which builds nothing at a place.")
        found.append(Graft(parts[1], mixer, "replace" if parts[2] == "=" else "insert", _losses(may_go)))
    return tuple(found)


def parse_variants(text: str | None, lose: str | None) -> list[tuple[Graft, ...]]:
    """Read --graft of a comparison: what is grafted into one network as in `parse_grafts`, with | between networks.

    Raises:
        GraftError: if it is no such thing.
    """
    if text is None:
        parse_grafts(None, lose)
        return []
    return [found for each in text.split("|") if (found := parse_grafts(each, lose))]


def _losses(may_go: tuple[str, ...]) -> tuple[Loss, ...]:
    return may_go  # type: ignore[return-value]  # Graft refuses what is none


def run_plugin(path: Path | None) -> None:
    """Run a file of the user's, and add the mixers in it to the vocabulary: its frozen dataclasses that build.

    A file that has run in this process is not run again.

    Raises:
        GraftError: if it cannot be run.
    """
    if path is None:
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GraftError(f"--plugin {path} cannot be read: {error.strerror}. Give a file of Python.") from error
    name = f"visiongraft_plugin_{blake2b(content, digest_size=6).hexdigest()}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise GraftError(f"--plugin {path} is no file of Python. Give one that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    try:
        spec.loader.exec_module(module)
        for each in list(vars(module).values()):
            if isinstance(each, type) and each.__module__ == name and is_dataclass(each) and hasattr(each, "build"):
                register(each)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, GraftError) or not isinstance(error, Exception):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise GraftError(f"--plugin {path} cannot be run: {reason}") from error
