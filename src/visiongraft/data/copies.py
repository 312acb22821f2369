"""Which images of a data set are there more than once, and where: within a class, in both parts, under two classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visiongraft.data.duplicates import equal_groups, near_pairs
from visiongraft.data.findings import Finding, Places, severity_of, share_of
from visiongraft.data.survey import Survey

Twins = NDArray[np.int64]
"""(n, 2): the place of an image, and that of the one that it is a copy of."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Images that have a twin, each once in each row of them.

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
    """Look for images that are equal to the last pixel, and for those that look nearly the same."""
    total, scored = len(seen), len(seen.data.val)
    for copies, words in ((equal_copies(seen), _EQUAL), (near_copies(seen), _NEAR)):
        surely = words is _EQUAL
        if copies.scored:
            what = f"Images of val that {words.of_train}: {share_of(copies.scored, scored)}"
            remedy = "Remove the copies in train, or the score counts what was learnt by heart"
            severity = severity_of(copies.scored, scored) if surely else "warning"
            yield Finding("leaked" + words.kind, severity, what, remedy, *_columns(copies.leaked))
        if len(copies.contradicted):
            number = len(copies.contradicted)
            what = f"Images of different classes that {words.one_another}: {share_of(number, total)}"
            severity = severity_of(number, total) if surely else "warning"
            remedy = "Decide which class is right, and remove them from the other"
            yield Finding("contradicted" + words.kind, severity, what, remedy, *_columns(copies.contradicted))
        if len(copies.repeated):
            what = f"Images that {words.earlier}: {share_of(len(copies.repeated), total)}"
            remedy = "Remove the copies: each counts as one more image" if surely else words.remedy
            severity = "warning" if surely else "note"
            yield Finding("repeated" + words.kind, severity, what, remedy, *_columns(copies.repeated))


@dataclass(frozen=True)
class _Words:
    kind: str
    of_train: str
    one_another: str
    earlier: str
    remedy: str = ""


_EQUAL = _Words(
    "",
    "train holds too, to the last pixel",
    "are equal to the last pixel",
    "equal another one of their class to the last pixel",
)
_NEAR = _Words(
    "_nearly",
    "look nearly like one of train",
    "look nearly the same",
    "look nearly like another one of their class",
    "Look at them: copies count double, frames of one film teach less than their number",
)


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
    return Copies(_twins(leaked), scored, _twins(contradicted), _twins(repeated))


def near_copies(seen: Survey) -> Copies:
    """Find the images that look nearly the same, but are not equal."""
    pairs = _near_places(seen)
    pairs = pairs[(seen.seen.digests[pairs[:, 0]] != seen.seen.digests[pairs[:, 1]]).any(axis=1)]
    held_out, labels = seen.held_out[pairs], seen.labels[pairs]  # n 2 each
    across = held_out[:, 0] != held_out[:, 1]  # those to learn from have the smaller places, and so stand first
    other = labels[:, 0] != labels[:, 1]
    return Copies(
        pairs[across],
        len(np.unique(pairs[across, 1])),
        np.concatenate([pairs[other], pairs[other][:, ::-1]]),
        pairs[~across & ~other][:, ::-1],
    )


def _near_places(seen: Survey) -> Twins:
    """Compare one image of each that are equal, once for each class and part in which they stand."""
    own = np.column_stack([seen.seen.digests, seen.labels.astype(np.uint64), seen.held_out.astype(np.uint64)])
    _, first = np.unique(own[seen.alike], axis=0, return_index=True)
    places = seen.alike[np.sort(first)]
    return places[near_pairs(seen.seen.hashes[places])]


def _twins(pairs: Sequence[tuple[np.int64, np.int64]]) -> Twins:
    return np.array(pairs, np.int64).reshape(-1, 2)


def _columns(twins: Twins) -> tuple[Places, Places]:
    """Take images and their twins apart, each image once, in rising order."""
    places, first = np.unique(twins[:, 0], return_index=True)
    return places, twins[first, 1]
