"""From words on the command line to the arguments of a verb, by jsonargparse: the one file that knows it."""

import inspect
import re
from argparse import Action
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

from docstring_parser import parse as parse_docstring
from jsonargparse import ActionConfigFile, ArgumentParser

from visiongraft.cli.verbs import Verb
from visiongraft.errors import GraftError, nearest


@dataclass(frozen=True)
class Chosen:
    """What the user chose.

    Args:
        arguments: for the verb's `run`.
        as_json: whether the result is to be one JSON object.
    """

    arguments: dict[str, Any]
    as_json: bool


class _Parser(ArgumentParser):
    """A parser whose complaints are one line, with the nearest option that exists."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        del ex
        spelt = [each for each in self._option_string_actions if each.startswith("--") and "_" not in each]
        raise GraftError(f"{self.prog}: {_in_plain_words(message, spelt)}")


def parse(verb: Verb, words: Sequence[str]) -> Chosen | None:
    """Read the options of a verb; None where only help or the configuration was asked for.

    Raises:
        GraftError: for an unknown option or a value of the wrong kind.
    """
    parser = make_parser(verb)
    try:
        # jsonargparse knows this one by its own spelling alone, which takes an optional value behind an =.
        found = parser.parse_args([re.sub("^--print-config", "--print_config", word) for word in words])
    except SystemExit:  # after printing the help or the configuration; complaints raise GraftError
        return None
    values = found.as_dict()
    values.pop("config", None)
    as_json = bool(values.pop("json"))
    return Chosen(values, as_json)


def make_parser(verb: Verb) -> ArgumentParser:
    """Make the parser of a verb from the type hints and the docstring of its `run`."""
    run = verb.function("run")
    about = parse_docstring(inspect.getdoc(run) or "")
    parser = _Parser(prog=f"graft {verb.name}", description=about.short_description, allow_abbrev=False)
    positional = _add_positionals(parser, run, {each.arg_name: each.description or "" for each in about.params})
    parser.add_function_arguments(run, skip=positional, fail_untyped=True)
    for group in parser._action_groups:  # jsonargparse repeats the description as the title of the options
        if group.title == about.short_description:
            group.title = "what it takes"
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")
    parser.add_argument("--config", action=ActionConfigFile, help="read options from a YAML file")
    for action in parser._actions:
        _spell_with_hyphens(parser, action)
    return parser


def _add_positionals(parser: ArgumentParser, run: Callable[..., Any], helps: dict[str, str]) -> set[str | int]:
    """Add the arguments that have no `--`: those before the star. A list takes as many words as there are."""
    names: set[str | int] = set()
    for name, each in inspect.signature(run).parameters.items():
        if each.kind is inspect.Parameter.KEYWORD_ONLY:
            continue
        names.add(name)
        options: dict[str, Any] = {"help": helps[name], "metavar": name.upper()}
        if get_origin(each.annotation) is list:
            (item,) = get_args(each.annotation)
            parser.add_argument(name, nargs="+", type=item, **options)
        elif each.default is inspect.Parameter.empty:
            parser.add_argument(name, type=each.annotation, **options)
        else:
            parser.add_argument(name, nargs="?", type=each.annotation, default=each.default, **options)
    return names


def _spell_with_hyphens(parser: ArgumentParser, action: Action) -> None:
    """Let --batch_size, as Python and YAML spell it, also be --batch-size, as the help shows it."""
    for option in list(action.option_strings):
        hyphened = "--" + option[2:].replace("_", "-")
        if option.startswith("--") and hyphened != option:
            action.option_strings = [hyphened]  # what the help shows; the parser goes on to know both
            parser._option_string_actions[hyphened] = action
    if action.option_strings and action.metavar is None and not action.choices and action.nargs != 0:
        action.metavar = action.dest.upper().split(".")[-1]


_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'str'>": "text",
    str(Path): "a path",
}


def _in_plain_words(message: str, known: list[str]) -> str:
    """Rewrite jsonargparse's complaint: which option, what came, what is expected, what to do."""
    text = " ".join(message.split())
    if found := re.match(r"[Uu]nrecognized arguments: (\S+)", text):
        word = found[1].partition("=")[0]
        return f"there is no option {word}.{nearest(word, known)} See --help."
    if found := re.match(r"Option '([^']+)' is not accepted", text):
        option = _flag(found[1])
        return f"the configuration has an unknown option {found[1]!r}.{nearest(option, known)} See --help."
    if found := re.match(r'Parser key "([^"]+)": Expected a (.+)\. Got value: (.*)', text):
        return f"{_flag(found[1])} takes {_kind(found[2])}, and got {found[3]!r}."
    if found := re.match(r"argument (\S+): expected one argument", text):
        return f"{_flag(found[1].split('/')[0].strip('-'))} needs a value behind it. See --help."
    if found := re.match(r"the following arguments are required: (.+)", text):
        return f"{found[1].upper()} is missing. See --help."
    return text


def _kind(expected: str) -> str:
    if expected.startswith("typing.Literal"):
        return "one of " + ", ".join(re.findall(r"'([^']+)'", expected))
    if expected.startswith(("typing.Union", "typing.Optional")) or " | " in expected:
        return "one of " + ", ".join(re.findall(r"\w+", expected.replace("typing", "").replace("class", "")))
    return _KINDS.get(expected, expected)


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")
