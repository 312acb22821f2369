"""The words that networks are described with, and how a document writes them: each with its kind and its choices."""

import ast
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from inspect import get_annotations
from itertools import groupby
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from visiongraft.blocks.basic import Basic
from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.convmixer import ConvMixerBlock
from visiongraft.blocks.convnext import ConvNeXt
from visiongraft.blocks.head import Head
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mbconv import MBConv
from visiongraft.blocks.mixers import BlurAfter, ContextualTransformer, Conv, GatedConv, GridAttention
from visiongraft.blocks.non_local import NonLocal
from visiongraft.blocks.positions import PlaneNetwork, PlaneTable
from visiongraft.blocks.primitives import EfficientChannelAttention, SqueezeExcite
from visiongraft.blocks.relative_transformer import RelativeTransformer
from visiongraft.blocks.stems import CoAtNetStem, DeepStem, PatchEmbedStem, PatchStem, ResNetStem, SmallStem
from visiongraft.errors import SpecError, UnknownWord, nearest

MOST_BLOCKS = 10_000
"""Of a network: a short document must not describe more than a memory holds."""

_WORDS: dict[str, type] = {
    word.__name__: word
    for word in (
        Basic,
        BlurAfter,
        Bottleneck,
        CoAtNetStem,
        ContextualTransformer,
        Conv,
        ConvMixerBlock,
        ConvNeXt,
        DeepStem,
        EfficientChannelAttention,
        GatedConv,
        GridAttention,
        Head,
        MBConv,
        NonLocal,
        PatchEmbedStem,
        PatchStem,
        PlaneNetwork,
        PlaneTable,
        RelativeTransformer,
        ResNetStem,
        SimplifiedContextualTransformer,
        SmallStem,
        SqueezeExcite,
    )
}


Word = TypeVar("Word", bound=type)
Made = TypeVar("Made")


def register(word: Word) -> Word:
    """Add a block or mixer of your own to the vocabulary, so that specs with it can be saved and read.

    Args:
        word: a frozen dataclass with `build(site)`; usable as a decorator.

    Raises:
        SpecError: if it is no frozen dataclass, the type of a field cannot be found, or another word has its name.
    """
    parameters = getattr(word, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise SpecError(f"{word.__name__} must be a frozen dataclass: write @dataclass(frozen=True) above it.")
    _check_types(word)
    if _WORDS.setdefault(word.__name__, word) is not word:
        raise SpecError(f"The vocabulary already has a {word.__name__}. Give yours another name.")
    return word


def registered() -> dict[str, type]:
    """Give every word by its name."""
    return dict(_WORDS)


def encode(word: object) -> dict[str, object]:
    """Give a word as plain values that `decode` and JSON take.

    Raises:
        SpecError: if it, or a word inside it, is not in the vocabulary.
    """
    assert is_dataclass(word) and not isinstance(word, type)
    name = type(word).__name__
    if _WORDS.get(name) is not type(word):
        raise SpecError(f"{name} is not in the vocabulary. Add it with visiongraft.register({name}).")
    return {"kind": name, **encode_choices(word)}


def encode_choices(word: object) -> dict[str, object]:
    """Give the choices of a word by name, without its kind, as plain values that `decode_choices` and JSON take.

    Raises:
        SpecError: if a word inside it is not in the vocabulary.
    """
    assert is_dataclass(word) and not isinstance(word, type)
    return {each.name: _encode_value(getattr(word, each.name)) for each in fields(word)}


def _encode_value(value: object) -> object:
    if is_dataclass(value):
        return encode(value)
    if isinstance(value, tuple):
        return [item for each, run in groupby(value) for item in _encode_run(each, len(list(run)))]
    return value


def _encode_run(value: object, times: int) -> list[object]:
    """Write equal neighbours once, with their number: stages repeat one block many times."""
    encoded = _encode_value(value)
    if times == 1 or not is_dataclass(value):
        return [encoded] * times
    return [{"times": times, "of": encoded}]


def decode(value: object) -> object:
    """Make what `encode` described: a dict is a word, a list a tuple, and any other value itself.

    Raises:
        SpecError: for an unknown word, an unknown key, a missing one that has no default, or a value of another kind.
    """
    if isinstance(value, list):
        return tuple(each for item in value for each in _decode_run(item))
    if not isinstance(value, dict):
        return value
    content = dict(value)
    name = content.pop("kind", None)
    word = _WORDS.get(name) if isinstance(name, str) else None
    if word is None:
        raise UnknownWord(f"The vocabulary has no word {name!r}.{nearest(str(name), _WORDS)}")
    return decode_choices(word, content)


def decode_choices(word: type[Made], content: Mapping[str, object]) -> Made:
    """Make a word from what `encode_choices` gave. A missing choice takes its default.

    Args:
        word: a frozen dataclass, in the vocabulary or not.
        content: its choices by name.

    Raises:
        SpecError: for an unknown key, a missing one that has no default, or a value of another kind.
    """
    kind: type = word
    name = kind.__name__
    known = {each.name for each in _fields(kind)}
    needed = {each.name for each in _fields(kind) if not _has_default(each)}
    if not needed <= content.keys() <= known:
        odd = ", ".join(sorted((content.keys() - known) | (needed - content.keys())))
        raise SpecError(f"The description of a {name} has missing or unknown keys: {odd}.")
    values = {key: decode(each) for key, each in content.items()}
    hints = _hints(kind)
    for key, each in values.items():
        if not _fits(each, hints[key]):
            raise SpecError(f"The {key} of a {name} cannot be {each!r}. Expected {_in_words(hints[key])}.")
    return word(**values)


def read_document(text: str, what: str) -> dict[str, object]:
    """Read a JSON object.

    Args:
        text: of the file.
        what: it is, for errors, such as "A network description".

    Raises:
        SpecError: if it is none.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"{what} must be JSON: {error}.") from error
    if not isinstance(document, dict):
        raise SpecError(f"{what} must be a JSON object, not {type(document).__name__}.")
    return document


def _fields(word: type) -> tuple[Field[Any], ...]:
    assert is_dataclass(word)
    return fields(word)


def spelt(word: object) -> str:
    """Write a word as one writes it in Python, without the choices that have their default: "GridAttention(heads=2)".

    Args:
        word: a word, known to the vocabulary or not.
    """
    if not is_dataclass(word) or isinstance(word, type):
        return repr(word)
    said = (
        (each.name, getattr(word, each.name)) for each in fields(word) if getattr(word, each.name) != default_of(each)
    )
    return f"{type(word).__name__}({', '.join(f'{name}={spelt(value)}' for name, value in said)})"


def read_word(text: str) -> object:
    """Make the word that somebody wrote as `spelt` does. Nothing is run.

    Raises:
        SpecError: if it is none, or its choices cannot be.

    >>> read_word("ContextualTransformer(cardinality=2)")
    ContextualTransformer(kernel=3, cardinality=2, fusion='gate')
    """
    try:
        return decode(_document(ast.parse(text.strip(), mode="eval").body))
    except (SyntaxError, ValueError, RecursionError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(
            f"{text!r} cannot be read. Write a word with its choices by name, as GridAttention(heads=4)."
        ) from None


def _document(node: ast.expr) -> object:
    """Give what `decode` takes for a piece of Python.

    Raises:
        ValueError: if it is more than words and values.
    """
    match node:
        case ast.Name(id=name):
            return {"kind": name}
        case ast.Call(func=ast.Name(id=name), args=[], keywords=choices) if all(each.arg for each in choices):
            return {"kind": name, **{str(each.arg): _document(each.value) for each in choices}}
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return [_document(each) for each in items]
        case _:
            return ast.literal_eval(node)


def default_of(field: Field[Any]) -> object:
    """Give what a field is where nobody says; `MISSING` where it has to be said."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def check_choices(word: object) -> None:
    """See that every choice among names in a word, and in the words inside it, is one of these names.

    Raises:
        SpecError: if one is not, such as a position that is misspelt and would be built as another.
    """
    kind = _WORDS.get(type(word).__name__)
    if kind is None or not isinstance(word, kind):
        return
    for key, hint in _hints(kind).items():
        value = getattr(word, key)
        if get_origin(hint) is Literal and value not in get_args(hint):
            near = nearest(str(value), map(str, get_args(hint)))
            raise SpecError(f"The {key} of a {kind.__name__} cannot be {value!r}. Expected {_in_words(hint)}.{near}")
        inner = value if isinstance(value, tuple) else (value,)
        for each in {id(each): each for each in inner}.values():  # stages repeat one block many times
            if is_dataclass(each):
                check_choices(each)


@cache
def _hints(word: type) -> dict[str, Any]:
    """Give the types of a word's fields."""
    hints = get_type_hints(word, localns={word.__name__: word})  # a decorated class has no name yet
    return {each.name: hints[each.name] for each in fields(word)}


def _check_types(word: type) -> None:
    """See that the types of a word's fields, which may be written as text, can be found.

    Raises:
        SpecError: if one cannot.
    """
    for each in fields(word):
        owner = next(base for base in word.__mro__ if each.name in get_annotations(base))
        alone = type(word.__name__, (), {"__annotations__": {each.name: each.type}, "__module__": owner.__module__})
        try:
            get_type_hints(alone, localns={word.__name__: word})
        except (NameError, AttributeError, TypeError, SyntaxError) as error:
            raise SpecError(
                f"The type of the {each.name} of a {word.__name__}, {each.type!r}, cannot be found: {error}. Import or"
                " define what it names above the class, for the whole module and not under TYPE_CHECKING alone."
            ) from error


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _decode_run(item: object) -> tuple[object, ...]:
    if isinstance(item, dict) and item.keys() == {"times", "of"}:
        times = item["times"]
        if not _fits(times, int) or not 1 <= times <= MOST_BLOCKS:
            raise SpecError(f"A block is repeated 1 to {MOST_BLOCKS} times, not {times!r}.")
        return (decode(item["of"]),) * times
    return (decode(item),)


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type hint is of no one type
    """Tell whether a value read from a document is of the kind that a field of a word wants."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = (inner[0],) * len(value) if inner[-1] is ... else inner
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _in_words(hint: Any) -> str:  # noqa: ANN401 - as above
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
