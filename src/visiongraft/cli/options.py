"""From words on the command line to the arguments of a verb, by jsonargparse: the one file that knows it."""

import inspect
import math
import re
import textwrap
from argparse import SUPPRESS, Action
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin

import yaml
from docstring_parser import Docstring
from docstring_parser import parse as parse_docstring
from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter

from visiongraft.cli.arguments import Option, gathered, options_of
from visiongraft.cli.configuration import OPTION, files_first, options_of_the_run, read_config, recipe_of
from visiongraft.cli.values import ImageSize
from visiongraft.cli.verbs import Verb
from visiongraft.errors import GraftError, nearest


@dataclass(frozen=True)
class Chosen:
    """What the user chose.

    Args:
        arguments: for the verb's `run`.
        as_json: whether the result is to be one JSON value.
    """

    arguments: dict[str, Any]
    as_json: bool


@dataclass(frozen=True)
class Kind:
    """What values a type stands for, as a user is told.

    Args:
        metavar: behind the option in the help, such as N.
        words: in an error, such as "a whole number".
    """

    metavar: str
    words: str


_LARGEST = 2**31  # nothing that is counted here comes near; PyTorch breaks off with a page of its own beyond 2**63

_KINDS = {
    int: Kind("N", "a whole number"),
    float: Kind("X", "a number"),
    str: Kind("", "text, which YAML wants in quotes if it looks like a number"),
    bool: Kind("", "true or false"),
    Path: Kind("PATH", "a path"),
    ImageSize: Kind("SIZE", "a size in pixels, as 224 or as 256x128"),
}


def kind_of(hint: object) -> Kind:
    """Describe a type hint of a verb's `run`. That an option may be left out goes without saying."""
    if hint in _KINDS:
        return _KINDS[hint]
    parts = [each for each in get_args(hint) if each is not NoneType]
    if get_origin(hint) is list:
        return Kind(kind_of(parts[0]).metavar, f"a list, each item {kind_of(parts[0]).words}")
    if get_origin(hint) is Literal:
        return Kind("{" + ",".join(parts) + "}", " or ".join(parts))
    if frozenset(parts) == frozenset(get_args(ImageSize)):
        return _KINDS[ImageSize]
    kinds = [kind_of(each) for each in parts]
    metavar = kinds[0].metavar if len(kinds) == 1 else "{" + ",".join(each.metavar.strip("{}") for each in kinds) + "}"
    return Kind(metavar, " or ".join(each.words for each in kinds))


class _Formatter(DefaultHelpFormatter):
    """Help that shows what a user may write, and no type of Python's."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)  # type: ignore[no-untyped-call]

    def _get_help_string(self, action: Action) -> str:
        """Add the default where there is one; where it is None, the text says what happens."""
        shown = not (action.default is None or action.default is False or action.default == SUPPRESS)
        return f"{action.help} (default: {action.default})" if shown else str(action.help)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap every paragraph by itself, and leave examples, which are indented, as they are."""
        lines = (line if line.startswith(" ") else textwrap.fill(line, width) for line in text.splitlines())
        return textwrap.indent("\n".join(lines), indent)


class _Parser(ArgumentParser):
    """A parser whose complaints are one line, with the nearest option that exists."""

    hints: Mapping[str, object] = {}
    positionals: Collection[str] = ()

    def shown(self, key: str) -> str:
        """Call an argument what the user calls it."""
        return key.upper() if key in self.positionals else "--" + key.replace("_", "-")

    def print_help(self, file: Any = None) -> None:  # noqa: ANN401
        print(self.format_help(), end="", file=file)  # argparse hides that it could not be written

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if isinstance(ex, GraftError):
            raise ex
        spelt = [each for each in self._option_string_actions if each.startswith("--") and "_" not in each]
        text = _in_plain_words(message, spelt, self.hints, self.shown)
        if found := re.match(r"""Parser key "([^"]+)".*'utf-8' codec can't encode""", text):
            what = f"{self.shown(found[1])} takes a path in UTF-8, and got one with other bytes"
            text = f"{what}. Rename what lies there."
        raise GraftError(f"{text} See `{self.prog} --help`.")


class _ConfigFile(ActionConfigFile):
    """Reads options from a YAML file, once it is known to be one."""

    def __call__(self, parser: Any, cfg: Any, values: Any, _: str | None = None) -> None:  # noqa: ANN401
        document = read_config(values, [*parser.hints, "json"])
        for name, value in document.items():
            key = str(name).replace("-", "_")
            _check_value(values, parser.shown(key), value, parser.hints.get(key, bool))
        self.apply_config(parser, cfg, self.dest, values)


class _Optional(Action):
    """An argument without `--` that may be left out: argparse would then put its default over what a file says."""

    def __call__(self, _: Any, cfg: Any, values: Any, __: str | None = None) -> None:  # noqa: ANN401
        if values is not self.default:
            setattr(cfg, self.dest, values)


def parse(verb: Verb, words: Sequence[str]) -> Chosen | None:
    """Read the options of a verb; None where only help or the configuration was asked for.

    Raises:
        GraftError: for an unknown option or a value of the wrong kind.
    """
    parser = make_parser(verb)
    if "" in words:  # most likely a variable of the shell that is not set; a path would become the present folder
        behind = repr(words[words.index("") - 1]) if words[0] else "the verb"
        raise GraftError(
            f"An empty value came behind {behind}. Give one, or leave it out. See `{parser.prog} --help`."
        )
    words = files_first(words)
    if "resume" in parser.hints:
        words = [*options_of_the_run(words), *words]
    if "recipe" in parser.hints and (recipe := recipe_of(words, parser.hints)):
        parser.set_defaults(verb.load().defaults(recipe))
    try:
        # jsonargparse knows this one by its own spelling alone, which takes an optional value behind an =.
        found = parser.parse_args([re.sub("^--print-config", "--print_config", word) for word in words])
    except SystemExit:  # after printing the help or the configuration; complaints raise GraftError
        return None
    values = found.as_dict()
    values.pop("config", None)
    for name in ("json", *_flags(parser.hints)):
        if not isinstance(values[name], bool):  # jsonargparse takes anything for one from a file
            raise GraftError(
                f"{_flag(name)} takes true or false, and got {values[name]!r}. See `{parser.prog} --help`."
            )
    as_json = values.pop("json")
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise GraftError(f"{_flag(name)} takes a number, and got {value}. See `{parser.prog} --help`.")
        if isinstance(value, int) and value >= _LARGEST and name != "seed":
            raise GraftError(f"{_flag(name)} takes a number below {_LARGEST}, and got {value}.")
    return Chosen(gathered(verb.load().run, values), as_json)


def make_parser(verb: Verb) -> _Parser:
    """Make the parser of a verb from the type hints and the docstring of its `run`."""
    run = verb.load().run
    options = options_of(run)
    about = parse_docstring(inspect.getdoc(run) or "")
    words = {each.name: _shown(each) for each in options if each.form in {"word", "words"}}
    parser = _Parser(
        prog=f"graft {verb.name}",
        usage=f"graft {verb.name} [OPTIONS]" + "".join(f" {each}" for each in words.values()),
        description=_paragraphs(about),
        epilog="examples:\n" + textwrap.indent("\n".join(each.description or "" for each in about.examples), "  "),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.hints = {each.name: each.hint for each in options}
    parser.positionals = words
    for each in options:
        _add(parser, each)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON value, and nothing else")
    parser.add_argument(f"--{OPTION}", action=_ConfigFile, metavar="FILE", help="read options from a YAML file")
    for action in parser._actions:
        _make_readable(parser, action)
    return parser


def _flags(hints: Mapping[str, object]) -> list[str]:
    """Give the options that are there or not and take no value behind them; in a file they are true or false."""
    return [name for name, hint in hints.items() if hint is bool]


def _paragraphs(about: Docstring) -> str:
    """Give the short and the long description, each as one line that the help wraps."""
    parts = [about.short_description, *(about.long_description or "").split("\n\n")]
    return "\n\n".join(" ".join(part.split()) for part in parts if part)


def _shown(option: Option) -> str:
    """Say how the usage shows what has no `--`."""
    name = option.name.upper() + ("..." if option.form == "words" else "")
    return name if option.required else f"[{name}]"


def _add(parser: ArgumentParser, option: Option) -> None:
    """Add one option to a parser. A list takes as many words as there are."""
    if option.form == "flag":
        parser.add_argument(f"--{option.name}", action="store_true", help=option.help)
        return
    common: dict[str, Any] = {"type": option.hint, "help": option.help}
    if option.form == "option":
        need = {"required": True} if option.required else {"default": option.default}
        parser.add_argument(f"--{option.name}", **common, **need)
        return
    common["metavar"] = option.name.upper()
    if option.form == "words":
        (common["type"],) = get_args(option.hint)
        parser.add_argument(option.name, nargs="+", **common)
    elif option.required:
        parser.add_argument(option.name, **common)
    else:
        parser.add_argument(option.name, nargs="?", action=_Optional, default=option.default, **common)


def _make_readable(parser: _Parser, action: Action) -> None:
    """Let --batch_size, as Python and YAML spell it, also be --batch-size; show that, and what it takes."""
    for option in list(action.option_strings):
        hyphened = "--" + option[2:].replace("_", "-")
        if option.startswith("--") and hyphened != option:
            action.option_strings = [hyphened]  # what the help shows; the parser goes on to know both
            parser._option_string_actions[hyphened] = action
    if action.option_strings and action.dest in parser.hints and action.nargs != 0:
        action.metavar = kind_of(parser.hints[action.dest]).metavar or action.dest.upper()
    if "--print-config" in action.option_strings:
        action.metavar, action.help = "", "print all options as YAML that --config reads, and do nothing else"
    if "--help" in action.option_strings:
        action.help = "print this and do nothing else"


def _check_value(file: str, shown: str, value: object, hint: object) -> None:
    """Refuse what jsonargparse would pass on as it is, or complain about in Python's words: null, lists and paths.

    A null for what has to be given is the same as its absence: --print-config writes it there.

    Raises:
        GraftError: if the value is none for this type.
    """
    if value is None:
        fits = not shown.startswith("--") or NoneType in get_args(hint)
    elif get_origin(hint) is list:
        fits = isinstance(value, list) and value != [] and all(isinstance(each, str) for each in value)
    else:
        fits = isinstance(value, str) or hint is not Path
    if not fits:
        got = yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("\n...\n").strip()
        raise GraftError(f"{shown} takes {kind_of(hint).words}, and got {got} in {file}.")


def _in_plain_words(
    message: str, known: Sequence[str], hints: Mapping[str, object], shown: Callable[[str], str]
) -> str:
    """Rewrite jsonargparse's complaint: which option, what came, what is expected."""
    text = " ".join(message.split())
    if found := re.match(r"[Uu]nrecognized arguments: (\S+)", text):
        word = found[1].partition("=")[0]
        hint = nearest(word, known) if word.startswith("--") else f" A file that is called so is given as ./{word}."
        unknown = f"there is no option {word}.{hint}"
        return unknown if word.startswith("-") else f"nothing is expected where {word!r} came."
    if (found := re.match(r'Parser key "([^"]+)": .*value:(?: (.*))?$', text)) and found[1] in hints:
        return f"{_flag(found[1])} takes {kind_of(hints[found[1]]).words}, and got {found[2] or ''!r}."
    if found := re.match(r"argument (\S+): expected one argument", text):
        option = found[1].split("/")[0].replace("_", "-")
        return f"{option} needs a value behind it. One that begins with a dash is given as {option}=-VALUE."
    if found := re.match(r"argument (\S+): ignored explicit argument (.+)", text):
        return f"{found[1]} takes no value, and got {found[2]}."
    if found := re.match(r"the following arguments are required: (.+)", text):
        missing = [shown(each) for each in found[1].split(", ")]
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
    return text if text.endswith(".") else f"{text}."


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")
