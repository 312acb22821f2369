"""What is looked for in a classification data set, from what a survey of it saw; `copies` has the duplicates."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from visiongraft.data.findings import Finding, named, severity_of, share_of
from visiongraft.data.oddities import ODDITIES
from visiongraft.data.survey import Survey
from visiongraft.errors import counted
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import RGB, Preprocessing

LONGEST_SHAPE = 4
"""An image more than so many times longer than wide shows little of itself in the middle."""

FEW = 20
"""A class of fewer images is hardly learnt."""

UNBALANCED = 10
"""A class so many times larger than another one outweighs it."""

SMALL_VAL = 100
"""With fewer images to be scored on, the standard error of a score may be above 5 points."""

MANY_TIMES = 16
"""So many times more pixels than are shown cost more to read than to look at."""


def check_files(seen: Survey) -> Iterator[Finding]:
    """Look for files that cannot be read, and for odd ones."""
    broken = np.flatnonzero(~seen.readable)
    if len(broken):
        yield Finding(
            "unreadable",
            severity_of(len(broken), len(seen)),
            f"Images that cannot be read: {share_of(len(broken), len(seen))}",
            "Replace or remove them: a training passes over them, and ends where they are more than 1 in 100",
            broken,
            details=seen.seen.errors,
        )
    for name, oddity in ODDITIES.items():
        places = seen.odd(name)
        if len(places):
            what = f"{oddity.what}: {share_of(len(places), len(seen))}"
            yield Finding(name, oddity.severity, what, oddity.remedy, places)


def check_sizes(seen: Survey, image: Grid) -> Iterator[Finding]:
    """Look for images that are smaller than the network's, far longer than wide, far too large, or empty.

    Args:
        seen: the survey.
        image: height and width in pixels that the network is shown.
    """
    sizes = seen.seen.sizes.astype(np.int64)
    shown = f"{image[0]} x {image[1]}"
    small = np.flatnonzero(seen.readable & (sizes < image).any(axis=1))
    if len(small):
        remedy = "They are enlarged and blurred: replace or remove them, or choose a smaller --image"
        if 2 * len(small) > seen.readable.sum():
            usual = int(np.median(sizes[seen.readable].min(axis=1)))
            remedy = f"They are enlarged, which costs time and shows no more: --image {usual} fits them"
        yield Finding(
            "small", "warning", f"Images smaller than {shown}: {share_of(len(small), len(seen))}", remedy, small
        )
    long = np.flatnonzero(seen.readable & (sizes.max(axis=1) > LONGEST_SHAPE * sizes.min(axis=1)))
    if len(long):
        what = f"Images more than {LONGEST_SHAPE} times longer than wide, or wider than long"
        remedy = "Little more than their middle is ever shown: cut them up, or remove them"
        yield Finding("long", "warning", f"{what}: {share_of(len(long), len(seen))}", remedy, long)
    flat = np.flatnonzero(seen.readable & seen.seen.flat)
    if len(flat):
        what = f"Images that show next to nothing, all of one brightness: {share_of(len(flat), len(seen))}"
        yield Finding("flat", "warning", what, "Look at them, and remove those that are empty", flat)
    times = float(np.median(sizes[seen.readable].prod(axis=1))) / (image[0] * image[1]) if seen.readable.any() else 0.0
    if times > MANY_TIMES:
        what = f"Half of the images have more than {times:,.0f} times the pixels that are shown at {shown}"
        remedy = f"A copy of them, shrunk to {2 * min(image)} pixels at the short side, is read faster"
        yield Finding("large", "note", what, remedy)


def check_classes(seen: Survey) -> Iterator[Finding]:
    """Look at how many images that can be read each class has, to learn from and to be scored on."""
    learnt, scored = counts_of(seen)
    if np.count_nonzero(learnt + scored) == 1:
        only = seen.data.classes[int((learnt + scored).argmax())]
        remedy = "Add another class: at least two are needed to learn a difference"
        yield Finding("one_class", "grave", f"All images are of one class, {only!r}", remedy)
    unlearnt = (learnt == 0) & (scored > 0)
    if unlearnt.any():
        yield Finding(
            "val_only",
            "grave",
            f"Classes that val has and train lacks: {named(seen.data.classes, unlearnt)}",
            "Add images of them to train, or remove them from val: what is not learnt cannot be right",
            np.flatnonzero(seen.held_out & unlearnt[seen.labels]),
        )
    empty = learnt + scored == 0
    if empty.any():
        remedy = "Add images, or remove the classes: a network would get outputs that are never right"
        yield Finding("empty", "warning", f"Classes without any image: {named(seen.data.classes, empty)}", remedy)
    unscored = (learnt > 0) & (scored == 0)
    if unscored.any():
        remedy = "Nothing tells how well they are learnt: move some of their images to val"
        yield Finding("unscored", "warning", f"Classes that val lacks: {named(seen.data.classes, unscored)}", remedy)
    yield from _check_balance(seen, learnt, scored)


def counts_of(seen: Survey) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the images of each class that can be read: those to learn from, and those to be scored on."""
    classes = len(seen.data.classes)
    learnt, scored = (
        np.bincount(seen.labels[part & seen.readable], minlength=classes) for part in (~seen.held_out, seen.held_out)
    )
    return learnt, scored


def _check_balance(seen: Survey, learnt: NDArray[np.int64], scored: NDArray[np.int64]) -> Iterator[Finding]:
    """Look for classes that are small, absolutely or beside others, and for a small val."""
    few = (learnt > 0) & (learnt < FEW)
    if few.any():
        what = f"Classes of fewer than {FEW} images to learn from: {named(seen.data.classes, few)}"
        yield Finding("few", "warning", what, "Add images of them, or merge them with others")
    if learnt.any():
        large, small = int(learnt.argmax()), int(np.where(learnt > 0, learnt, np.iinfo(np.int64).max).argmin())
        if learnt[large] >= UNBALANCED * learnt[small]:
            names = seen.data.classes
            always = f"always answering {names[int(scored.argmax())]!r} is right for {scored.max() / scored.sum():.0%}"
            yield Finding(
                "unbalanced",
                "warning",
                f"{names[large]!r} has {counted(int(learnt[large]), 'image')} to learn from, {names[small]!r} only "
                f"{learnt[small]:,}",
                "Add images of small classes or train with --sampler balanced, and judge by the scores of each class"
                + (f": {always} of val" if scored.any() else ""),
            )
    number = int(scored.sum())
    if 0 < number < SMALL_VAL:
        error = 50 / np.sqrt(number)
        what = f"val holds only {counted(number, 'image')}: a score may be off by {error:.0f} points by chance"
        yield Finding("small_val", "warning", what, "Hold out more before small differences are believed")


def check_colors(mean: RGB, deviation: RGB, pre: Preprocessing) -> Iterator[Finding]:
    """Compare the colours of the images with those by which they will be normalised.

    Args:
        mean: of the images to learn from, on the scale 0 to 1.
        deviation: likewise.
        pre: by what they will be normalised.
    """
    shifts = [(ours - theirs) / std for ours, theirs, std in zip(mean, pre.mean, pre.std, strict=True)]
    widths = [ours / theirs for ours, theirs in zip(deviation, pre.std, strict=True)]
    if max(map(abs, shifts)) > 1 or not all(_NARROW < each < _WIDE for each in widths):
        yield Finding(
            "colors",
            "note",
            f"Normalised as for ImageNet, pixels have means of {_three(shifts)} and deviations of {_three(widths)}",
            "Pretrained weights know means near 0 and deviations near 1, so expect less of them; others learn it",
        )


_NARROW, _WIDE = 0.5, 2.0


def _three(values: Iterable[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in values)
