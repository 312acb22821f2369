"""How a training went, epoch by epoch: the rows of metrics.csv, and drawings of them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from visiongraft.explain.svg import Tone, bare, color, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Pace(NamedTuple):
    """How fast an epoch went: images learnt from in a second, and the share of its time that was waiting for them."""

    images_per_second: float
    wait_share: float


class Validation(NamedTuple):
    """What a validation gave: cross-entropy in nats, and share of right answers in [0, 1]."""

    loss: float
    top1: float


@dataclass(frozen=True)
class Epoch:
    """One row of metrics.csv.

    Args:
        number: from 1.
        lr: learning rate at its end.
        train_loss: mean over its images.
        val: its validation, or None where there was none.
        pace: how fast it went, or None where the row does not tell.
    """

    number: int
    lr: float
    train_loss: float
    val: Validation | None
    pace: Pace | None = None


Scale = Literal["number", "percent", "from_zero"]
"""How values are written, and whether the axis begins at 0."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Args:
        name: what it shows.
        tone: its colour.
        points: epochs and values, at least one.
    """

    name: str
    tone: Tone
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Drawing:
    """Curves over the epochs.

    Args:
        name: unique on the page.
        title: what they show.
        scale: of the values.
        lines: the curves.
        best: the epoch to mark, if any.
    """

    name: str
    title: str
    scale: Scale
    lines: tuple[Line, ...]
    best: int | None = None

    @property
    def summary(self) -> str:
        """The curves in words, for those who cannot see them."""
        spans = (
            f"{each.name} from {each.points[0][1]:.3g} in epoch {each.points[0][0]}"
            f" to {each.points[-1][1]:.3g} in epoch {each.points[-1][0]}"
            for each in self.lines
        )
        return f"{self.title}: {'; '.join(spans)}."


def read_epochs(path: Path) -> tuple[Epoch, ...]:
    """Read metrics.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            Epoch(
                int(row["epoch"]),
                float(row["lr"]),
                float(row["train_loss"]),
                Validation(float(row["val_loss"]), float(row["val_top1"])) if row["val_top1"] else None,
                Pace(float(row["train_images_per_second"]), float(row["wait_share"])) if "wait_share" in row else None,
            )
            for row in csv.DictReader(file)
        )


def pace_of_all(epochs: Sequence[Epoch]) -> Pace | None:
    """Give the pace of all epochs together, each of which has as many images; None where one does not tell."""
    paces = [each.pace for each in epochs]
    told = [each for each in paces if each is not None and each.images_per_second > 0.0]
    if not told or len(told) < len(paces):
        return None
    seconds = [1.0 / each.images_per_second for each in told]  # of one image
    waited = sum(each.wait_share * time for each, time in zip(told, seconds, strict=True))
    return Pace(len(told) / sum(seconds), waited / sum(seconds))


def drawings(epochs: Sequence[Epoch], best: int) -> tuple[Drawing, ...]:
    """Plan what is worth drawing: losses, score and learning rate, as far as there are two points to connect.

    Args:
        epochs: the course of the training.
        best: the epoch whose weights were kept, to be marked.
    """
    validated = [(each.number, each.val) for each in epochs if each.val]
    losses = (
        Line("training", "muted", tuple((each.number, each.train_loss) for each in epochs)),
        Line("validation", "right", tuple((number, val.loss) for number, val in validated)),
    )
    top1 = Line("validation", "right", tuple((number, val.top1) for number, val in validated))
    rate = Line("end of epoch", "right", tuple((each.number, each.lr) for each in epochs))
    planned = (
        Drawing("loss", "Loss", "number", losses, best),
        Drawing("top1", "Top-1", "percent", (top1,), best),
        Drawing("lr", "Learning rate", "from_zero", (rate,)),
    )
    return tuple(each for each in planned if max(len(line.points) for line in each.lines) > 1)


_INCHES = (3.9, 2.7)
_FEW = 12  # points that are marked one by one; more would make a string of beads


def to_svg(drawing: Drawing) -> str:
    """Draw curves as an SVG element that takes fonts and colours from the page around it."""

    def draw(axes: "Axes") -> None:
        for line in drawing.lines:
            _plot(axes, line, drawing.best)
        _furnish(axes, drawing)

    return drawn(drawing.name, _INCHES, draw)


def _plot(axes: "Axes", line: Line, best: int | None) -> None:
    tone = color(line.tone)
    x, y = zip(*line.points, strict=True)
    marker = "o" if len(x) <= _FEW else None
    axes.plot(x, y, color=tone, linewidth=1.8, marker=marker, markersize=3.5, clip_on=False)
    if best is not None and best in x and line.tone == "right":
        (ring,) = axes.plot(best, y[x.index(best)], "o", color=tone, markersize=7, markeredgewidth=1.8, clip_on=False)
        ring.set_markerfacecolor(color("page"))


def _furnish(axes: "Axes", drawing: Drawing) -> None:
    """Give axes as few lines as they need."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    bare(axes)
    axes.set_xlabel("epoch", color=color("muted"))
    first, last = drawing.lines[0].points[0][0], max(line.points[-1][0] for line in drawing.lines)
    axes.set_xlim(first - 0.3, last + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    write = _in_percent if drawing.scale == "percent" else _in_short
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    if drawing.scale == "from_zero":
        axes.set_ylim(0, 1.06 * max(value for line in drawing.lines for _, value in line.points) or 1)


def _in_percent(value: float) -> str:
    return f"{100 * value:g}%"


def _in_short(value: float) -> str:
    return f"{value:g}"
