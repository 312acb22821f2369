"""Options from files: which are read, in what order, and whether they are any."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from visiongraft.errors import GraftError, nearest

CONFIG = "config.yaml"
"""Where a run keeps its options."""

OPTION = "config"
"""The option that reads a file."""


def files_first(words: Sequence[str]) -> list[str]:
    """Put what reads options from files before all else, so that what is typed wins wherever --config stands."""
    files: list[str] = []
    typed: list[str] = []
    left = list(words)
    while left and left[0] != "--":
        word = left.pop(0)
        if word == f"--{OPTION}" and left and not left[0].startswith("-"):
            files.append(f"{word}={left.pop(0)}")
        else:
            (files if word.startswith(f"--{OPTION}=") else typed).append(word)
    return [*files, *typed, *left]


def options_of_the_run(words: Sequence[str]) -> list[str]:
    """Give what reads the options of the run that --resume names, if it is there; options given beside it win.

    Raises:
        GraftError: if that is no folder of a run.
    """
    for folder in _behind("--resume", words):
        config = Path(folder) / CONFIG
        if not config.is_file():
            raise GraftError(f"--resume takes the folder of a run, and {folder!r} is none: it holds no {CONFIG}.")
        return [f"--{OPTION}={config}"]
    return []


def recipe_of(words: Sequence[str], hints: Mapping[str, object]) -> str | None:
    """Give the recipe that the words or a configuration among them name, whose options are then the defaults.

    Raises:
        GraftError: if a configuration is of another one; it may hold all options, and leave nothing to the recipe.
    """
    given = _behind("--recipe", words)
    for file in _behind("--config", words):
        named = read_config(file, [*hints, "json"]).get("recipe")
        if isinstance(named, str) and given and given[-1] != named:
            raise GraftError(
                f"--recipe {given[-1]} and --config {file!r}, which is of the recipe {named!r}, are two recipes. Leave"
                " out one of them."
            )
        given = given or ([named] if isinstance(named, str) else [])
    return given[-1] if given else None


def _behind(option: str, words: Sequence[str]) -> list[str]:
    """Give what came behind an option, each time that it came; what begins with a dash is another option."""
    found = []
    for word, behind in zip(words, [*words, ""][1:], strict=True):
        name, _, value = word.partition("=")
        if name == option and (value or not behind.startswith("-")):
            found.append(value or behind)
    return [each for each in found if each]


def read_config(file: str, known: Sequence[str]) -> dict[object, object]:
    """Read a configuration.

    Raises:
        GraftError: if it cannot be read, or has an option that does not exist.
    """
    remedy = "Give a YAML file of options, such as --print-config prints."
    try:
        text = Path(file).read_text(encoding="utf-8")
        document, written = yaml.safe_load(text), yaml.load(text, yaml.BaseLoader)
    except OSError as error:
        raise GraftError(f"--config {file!r} cannot be read: {error.strerror}. {remedy}") from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise GraftError(f"--config {file!r} is no text. {remedy}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise GraftError(f"--config {file!r} is no YAML{place}: {problem}. {remedy}") from None
    if document is None:
        raise GraftError(f"--config {file!r} is empty. {remedy}")
    if not isinstance(document, dict):
        held = "a list" if isinstance(document, list) else "a single value"
        raise GraftError(f"--config {file!r} holds {held}, and no names with values. {remedy}")
    for name in document:
        if str(name).replace("-", "_") not in known:
            raise GraftError(f"--config {file!r} has an unknown option {name!r}.{nearest(str(name), known)} {remedy}")
        if isinstance(document[name], int | float) and ":" in (raw := written.get(name, "")):
            raise GraftError(f"--config {file!r} has {name}: {raw}, which YAML reads as {document[name]}. Quote it.")
    return document
