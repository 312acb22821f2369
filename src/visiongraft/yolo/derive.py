"""Model files that say what differs from one of Ultralytics': mixers put behind layers of it, or in their place.

    base: yolo11.yaml
    graft:
      - {behind: backbone, mixer: GridAttention(heads=4)}

Rows of a model file name the rows that they take maps from by number. Each row that is put in shifts the numbers
behind it; here that is done for all rows at once.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visiongraft.errors import GraftError, SpecError, nearest
from visiongraft.vocabulary import encode, read_word

BACKBONE, OUTPUTS = "backbone", "outputs"
"""Places that every model has: its backbone's last row, and the rows whose maps its last row takes."""

_WAYS = ("behind", "instead_of")


@dataclass(frozen=True)
class Change:
    """One row that is put into a model file.

    Args:
        at: index of a row of the base.
        row: name and arguments of the new one.
        replaces: whether it takes that row's place, or stands behind it.
    """

    at: int
    row: tuple[str, dict[str, object]]
    replaces: bool


def derived(base: Mapping[str, Any], document: Mapping[str, Any], *, called: str) -> dict[str, Any]:
    """Make a whole model file of one that says what differs.

    Args:
        base: the model file that it starts from, as Ultralytics reads it.
        document: the file, with "graft"; any other key but "base" takes the place of the base's.
        called: what errors call the file.

    Raises:
        SpecError: if it says what cannot be understood.
    """
    rows = [*base["backbone"], *base["head"]]
    changes: list[Change] = []
    for entry in document.get("graft") or ():
        changes += _changes(entry, base, rows, called=called)
    if not changes:
        raise SpecError(f"{called} has a base and grafts nothing. Write graft: with a mixer and a place behind it.")
    _check_places(changes, called=called)
    over = {key: value for key, value in document.items() if key not in ("base", "graft")}
    kept = {key: copy.deepcopy(value) for key, value in base.items()}
    return {**kept, **over, **_put_in(rows, len(base["backbone"]), changes)}


def _changes(entry: object, base: Mapping[str, Any], rows: Sequence[Any], *, called: str) -> list[Change]:
    """Read one entry of "graft"."""
    ways = [each for each in _WAYS if isinstance(entry, Mapping) and each in entry]
    if not isinstance(entry, Mapping) or len(ways) != 1 or entry.keys() != {ways[0], "mixer"}:
        raise SpecError(
            f"{called}: a graft is {{behind: PLACE, mixer: MIXER}} or {{instead_of: PLACE, mixer: MIXER}}, not"
            f" {entry!r}."
        )
    try:
        word = encode(read_word(str(entry["mixer"])))
    except (GraftError, AssertionError) as error:
        raise SpecError(f"{called}: {str(error) or 'a mixer is written as GridAttention(heads=4).'}") from None
    name = str(word.pop("kind"))
    places = _places(entry[ways[0]], base, rows, called=called)
    return [Change(at, (name, word), ways[0] == "instead_of") for at in places]


def _places(place: object, base: Mapping[str, Any], rows: Sequence[Any], *, called: str) -> list[int]:
    """Give the rows that a place means: an index, a list of them, the name of layers, "backbone" or "outputs"."""
    last = len(rows) - 1
    if isinstance(place, list):
        return [index for each in place for index in _places(each, base, rows, called=called)]
    if isinstance(place, int) and not isinstance(place, bool):
        if not 0 <= place < last:
            raise SpecError(
                f"{called}: the base has rows 0 to {last}, and a mixer can be at 0 to {last - 1}, not {place}."
            )
        return [place]
    if place == BACKBONE:
        return [len(base["backbone"]) - 1]
    if place == OUTPUTS:
        source = rows[-1][0]
        return [each % last for each in (source if isinstance(source, list) else [source])]
    names = [str(row[2]) for row in rows[:-1]]
    found = [index for index, name in enumerate(names) if name == place]
    if not found:
        raise SpecError(
            f"{called}: no row of the base is at {place!r}.{nearest(str(place), [BACKBONE, OUTPUTS, *names])} A place"
            f" is the number of a row, the name of its layer, {BACKBONE!r} or {OUTPUTS!r}."
        )
    return found


def _check_places(changes: Sequence[Change], *, called: str) -> None:
    taken = [each.at for each in changes if each.replaces]
    if double := [at for at in taken if taken.count(at) > 1]:
        raise SpecError(f"{called}: two mixers take the place of row {double[0]}. Put one of them behind it.")


def _put_in(rows: Sequence[Any], backbone: int, changes: Sequence[Change]) -> dict[str, list[Any]]:
    """Give the rows with the changes made, and with the numbers that they take maps from shifted."""
    result: list[list[Any]] = []
    now: dict[int, int] = {}  # where what an old row gave is found
    parts = {"backbone": 0, "head": 0}
    for index, row in enumerate(rows):
        here = [each for each in changes if each.at == index]
        swapped = next((each for each in here if each.replaces), None)
        new = [_shifted(row[0], index, now), *copy.deepcopy(list(row[1:]))]
        result.append(new if swapped is None else [new[0], 1, *_layer(swapped)])
        result.extend([-1, 1, *_layer(each)] for each in here if not each.replaces)
        now[index] = len(result) - 1
        parts["backbone" if index < backbone else "head"] = len(result)
    return {"backbone": result[: parts["backbone"]], "head": result[parts["backbone"] :]}


def _layer(change: Change) -> list[Any]:
    name, arguments = change.row
    return [name, [arguments]]


def _shifted(source: Any, index: int, now: Mapping[int, int]) -> Any:  # noqa: ANN401 - a number or a list of them
    """Give the numbers of rows that a row takes maps from, as they are behind the changes; -1 stays."""
    if isinstance(source, list):
        return [_shifted(each, index, now) for each in source]
    if source == -1 or index + source < 0:  # the row before, or the image itself
        return source
    return now[source if source >= 0 else index + source]
