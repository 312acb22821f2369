"""What a verb's `run` takes, as options: its arguments, and of one that is a value, each field of that value."""

import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse

from visiongraft.explain.usage import flag

Form = Literal["option", "flag", "word", "words"]


@dataclass(frozen=True)
class Spread:
    """Marks an argument of `run`, a frozen dataclass, whose fields are options each by itself.

    They mean what the docstring of the dataclass says, unless that of `run` speaks of one of them.

    Args:
        without: fields that are no options, and keep their defaults.
    """

    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """One thing that a user may write behind a verb.

    Args:
        name: as a configuration spells it.
        argument: of `run`, which it is, or is a field of.
        hint: its type.
        default: what it is where nobody says; `inspect.Parameter.empty` where it must be given.
        help: what it means.
        form: "option" for a name with a value, "flag" for a name alone, "word" for a value alone, or "words" for
            several of them.
    """

    name: str
    argument: str
    hint: Any
    default: Any
    help: str
    form: Form

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


def options_of(run: Callable[..., Any]) -> list[Option]:
    """Give what a user may write behind the verb with this `run`, in the order of its arguments."""
    hints, helps = get_type_hints(run, include_extras=True), _helps(run)
    found = []
    for name, each in inspect.signature(run).parameters.items():
        if (spread := _spread(hints[name])) is not None:
            found += _fields(name, *spread, helps)
            continue
        form = _form(hints[name])
        if each.kind is not each.KEYWORD_ONLY:
            form = "words" if get_origin(hints[name]) is list else "word"
        # An argument that would have a word of Python's as its name, such as from, has from_.
        option = name.removesuffix("_") if keyword.iskeyword(name.removesuffix("_")) else name
        found.append(Option(option, name, hints[name], each.default, helps[name], form))
    return found


def usual(run: Callable[..., Any]) -> dict[str, object]:
    """Give what the options of a verb are where nobody says."""
    return {each.name: each.default for each in options_of(run)}


def gathered(run: Callable[..., Any], values: Mapping[str, object]) -> dict[str, object]:
    """Make the arguments of `run` from the values of all its options.

    Raises:
        GraftError: if a value of many fields cannot be of these.
    """
    kinds = {name: _spread(hint) for name, hint in get_type_hints(run, include_extras=True).items()}
    found: dict[str, Any] = {}
    for each in options_of(run):
        if kinds[each.argument] is None:
            found[each.argument] = values[each.name]
        else:
            found.setdefault(each.argument, {})[each.name] = values[each.name]
    return {name: value if (kind := kinds[name]) is None else kind[0](**value) for name, value in found.items()}


def flat(run: Callable[..., Any], arguments: Mapping[str, object]) -> dict[str, object]:
    """Give the values of all options of a verb from the arguments of its `run`: the reverse of `gathered`."""
    kinds = {name: _spread(hint) for name, hint in get_type_hints(run, include_extras=True).items()}
    return {
        each.name: arguments[each.argument]
        if kinds[each.argument] is None
        else getattr(arguments[each.argument], each.name)
        for each in options_of(run)
    }


def _spread(hint: object) -> tuple[type, Spread] | None:
    """Give the dataclass of an argument that is spread, and its mark; None for any other."""
    marks = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Spread)]
    return (get_args(hint)[0], marks[0]) if marks else None


def _fields(argument: str, kind: Any, mark: Spread, said: Mapping[str, str]) -> list[Option]:  # noqa: ANN401 - any dataclass
    hints, names = get_type_hints(kind), {each.name for each in fields(kind)}
    helps = {**{name: _in_flags(text, names) for name, text in _helps(kind).items()}, **said}
    return [
        Option(each.name, argument, hints[each.name], each.default, helps[each.name], _form(hints[each.name]))
        for each in fields(kind)
        if each.name not in mark.without
    ]


def _form(hint: object) -> Form:
    return "flag" if hint is bool else "option"


def _helps(documented: Any) -> dict[str, str]:  # noqa: ANN401 - a function or a class, which inherits fields
    found: dict[str, str] = {}
    for each in reversed(getattr(documented, "__mro__", (documented,))):
        about = parse(inspect.getdoc(each) or "")
        found |= {param.arg_name: (param.description or "").removesuffix(".") for param in about.params}
    return found


def _in_flags(text: str, names: set[str]) -> str:
    """Spell fields that a docstring speaks of as a command does."""
    return re.sub("`(\\w+)`", lambda found: flag(found[1]) if found[1] in names else found[0], text)
