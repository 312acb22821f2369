"""Which images of a data set are there more than once, and where: within a class, in both parts, under two classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visiongraft.data.duplicates import equal_groups, near_pairs
from visiongraft.data.findings import Finding, severity_of, share_of
from visiongraft.data.survey import Survey

Twins = NDArray[np.int64]
"""(n, 2): the place of an image, and that of the one that it is a copy of."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Images that have a twin; each is there once in each of the three lists.

    Args:
        leaked: images to learn from with a twin that is to be scored on.
        scored: how many of those to be scored on are such twins.
        contradicted: images with a twin of another class.
        repeated: images with an earlier twin of the same part and class.
    """

    leaked: Twins
    scored: int
    contradicted: Twins
    repeated: Twins


def check_copies(seen: Survey) -> Iterator[Finding]:
    """Look for images that are equal to the last pixel, and for those that look nearly the same.

    Of the former, many are grave. The latter may be photographs of one moment, or of things that are alike: a person
    has to look, and none is.
    """
    yield from _told(seen, equal_copies(seen), _EQUAL)
    yield from _told(seen, near_copies(seen), _NEAR)


@dataclass(frozen=True)
class _Words:
    """How copies are spoken of; `kind` is put behind the kind of a finding."""

    kind: str
    leaked: str
    contradicted: str
    repeated: str
    look: str
    of_repeated: str


_EQUAL = _Words(
    "",
    "Images of val that train holds too, to the last pixel",
    "Images of different classes that are equal to the last pixel",
    "Images that equal another one of their class to the last pixel",
    "",
    "Remove the copies: each counts as one more image",
)
_NEAR = _Words(
    "_nearly",
    "Images of val that look nearly like one of train",
    "Images of different classes that look nearly the same",
    "Images that look nearly like another one of their class",
    "Look at them: ",
    "Look at them: copies count double, and frames of one film teach less than their number",
)


def _told(seen: Survey, copies: Copies, words: _Words) -> Iterator[Finding]:
    """Put copies into words."""
    total, scored = len(seen), len(seen.data.val)
    surely = words is _EQUAL
    if copies.scored:
        what = f"{words.leaked}: {share_of(copies.scored, scored)}"
        severity = severity_of(copies.scored, scored) if surely else "warning"
        remedy = _as_sentence(words.look + "remove the copies in train, or the score counts what was learnt by heart")
        yield Finding("leaked" + words.kind, severity, what, remedy, *copies.leaked.T)
    if number := len(copies.contradicted):
        what = f"{words.contradicted}: {share_of(number, total)}"
        severity = severity_of(number, total) if surely else "warning"
        remedy = _as_sentence(words.look + "decide which class is right, and remove them from the other")
        yield Finding("contradicted" + words.kind, severity, what, remedy, *copies.contradicted.T)
    if number := len(copies.repeated):
        what = f"{words.repeated}: {share_of(number, total)}"
        severity = "warning" if surely else "note"
        yield Finding("repeated" + words.kind, severity, what, words.of_repeated, *copies.repeated.T)


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def equal_copies(seen: Survey) -> Copies:
    """Find the images that are equal to the last pixel."""
    leaked, contradicted, repeated = [], [], []
    scored = 0
    for group in equal_groups(seen.seen.digests, np.flatnonzero(seen.readable)):
        held_out, labels = seen.held_out[group], seen.labels[group]
        if held_out.any() and not held_out.all():
            scored += int(held_out.sum())
            leaked += [(place, group[held_out][0]) for place in group[~held_out]]
        for label in np.unique(labels):
            others = group[labels != label]
            if len(others):
                contradicted += [(place, others[0]) for place in group[labels == label]]
            for part in (held_out, ~held_out):
                same = group[part & (labels == label)]
                repeated += [(place, same[0]) for place in same[1:]]
    return Copies(_once(leaked), scored, _once(contradicted), _once(repeated))


def near_copies(seen: Survey) -> Copies:
    """Find the images that look nearly the same, but are not equal."""
    pairs = _near_places(seen)
    pairs = pairs[(seen.seen.digests[pairs[:, 0]] != seen.seen.digests[pairs[:, 1]]).any(axis=1)]
    held_out, labels = seen.held_out[pairs], seen.labels[pairs]  # n 2 each
    across = held_out[:, 0] != held_out[:, 1]  # those to learn from have the smaller places, and so stand first
    other = labels[:, 0] != labels[:, 1]
    return Copies(
        _once(pairs[across]),
        len(np.unique(pairs[across, 1])),
        _once([*pairs[other], *pairs[other, ::-1]]),
        _once(pairs[~across & ~other, ::-1]),
    )


def _near_places(seen: Survey) -> Twins:
    """Compare one image of each that are equal, once for each class and part in which they stand."""
    own = np.column_stack([seen.seen.digests, seen.labels.astype(np.uint64), seen.held_out.astype(np.uint64)])
    _, first = np.unique(own[seen.alike], axis=0, return_index=True)
    places = seen.alike[np.sort(first)]
    return places[near_pairs(seen.seen.hashes[places])]


def _once(pairs: Sequence[Sequence[np.int64]] | Twins) -> Twins:
    """Keep the first twin of each image, the images in rising order."""
    twins = np.array(pairs, np.int64).reshape(-1, 2)
    _, first = np.unique(twins[:, 0], return_index=True)
    return twins[first]
