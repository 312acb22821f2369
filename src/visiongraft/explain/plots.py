"""Drawings of a comparison: scores against what they cost, and differences with their intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from visiongraft.explain.svg import Tone, bare, color, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (4.8, 3.3)
_LINE = 0.075  # height of a line of text, as a share of the axes
_RIGHT_HALF = 0.55  # from where on a name stands to the left of its point
_ROW_INCHES, _FOREST_WIDTH, _FOREST_FRAME = 0.3, 4.8, 0.5
_WIDE = 8  # cost of the dearest to that of the cheapest from which the axis is logarithmic


@dataclass(frozen=True)
class Place:
    """A network in a drawing of scores.

    Args:
        name: of the network.
        cost: where it stands on the lower axis, above 0.
        mean: score, in [0, 1].
        interval: of the mean.
        singles: the score of each seed.
        tone: its colour.
    """

    name: str
    cost: float
    mean: float
    interval: tuple[float, float]
    singles: tuple[float, ...]
    tone: Tone


@dataclass(frozen=True)
class Gain:
    """A difference of shares with its interval.

    Args:
        name: of the network.
        mean: the difference.
        low: lower end of its interval.
        high: upper end.
    """

    name: str
    mean: float
    low: float
    high: float


def scatter(name: str, places: Sequence[Place], write: Callable[[float], str]) -> str:
    """Draw scores against a cost: each network with its interval, its seeds as dots, and its name.

    Args:
        name: unique on the page.
        places: the networks.
        write: how a cost is written.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    costs = [each.cost for each in places]
    scaled = max(costs) / min(costs) >= _WIDE
    axis: Callable[[float], float] = math.log if scaled else float

    def draw(axes: "Axes") -> None:
        bare(axes)
        if scaled:
            axes.set_xscale("log")
        span = (axis(max(costs)) - axis(min(costs))) or abs(axis(max(costs))) or 1.0
        low, high = axis(min(costs)) - 0.12 * span, axis(max(costs)) + 0.12 * span
        back = math.exp if scaled else float
        axes.set_xlim(back(low), back(high))
        bottom, top = _limits(places)
        axes.set_ylim(bottom, top)
        for each in places:
            _mark(axes, each)
        spots = [((axis(each.cost) - low) / (high - low), (each.mean - bottom) / (top - bottom)) for each in places]
        for each, (x, y), height in zip(places, spots, _apart(spots), strict=True):
            _label(axes, each, "left" if x < _RIGHT_HALF else "right", height - y)
        axes.xaxis.set_major_locator(FixedLocator(_ticks(costs)) if scaled else MaxNLocator(nbins=4))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))

    return drawn(name, _INCHES, draw)


def _limits(places: Sequence[Place]) -> tuple[float, float]:
    """Give the lowest and the highest score to show, with some air."""
    values = [value for each in places for value in (*each.interval, *each.singles)]
    low, high = max(min(values), 0.0), min(max(values), 1.0)
    air = 0.06 * (high - low) or 0.01
    return low - air, high + air


def _ticks(costs: Sequence[float]) -> list[float]:
    """Give round numbers between the smallest and the largest cost: powers of ten, and twice and five times these."""
    first, last = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    round_numbers = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    inside = [each for each in round_numbers if min(costs) / 1.3 <= each <= max(costs) * 1.3]
    return inside[:: max(1, round(len(inside) / 4))]


def _mark(axes: "Axes", place: Place) -> None:
    tone = color(place.tone)
    axes.plot([place.cost] * 2, place.interval, color=tone, linewidth=1.4)
    singles = place.singles
    axes.plot([place.cost] * len(singles), singles, "_", color=tone, markersize=9, markeredgewidth=1.2)
    (disc,) = axes.plot(place.cost, place.mean, "o", color=tone, markersize=7, markeredgewidth=1.8)
    disc.set_markerfacecolor(color("page"))


def _label(axes: "Axes", place: Place, side: str, shift: float) -> None:
    height = 72 * 0.72 * _INCHES[1]  # of the axes, in points
    axes.annotate(
        _label_of(place.name),
        (place.cost, place.mean),
        xytext=(8 if side == "left" else -8, shift * height),
        textcoords="offset points",
        ha=side,
        va="center",
        color=color("ink"),
        annotation_clip=False,
        zorder=1.9,  # below the marks: a name never hides another network
        bbox={"boxstyle": "square,pad=0.15", "facecolor": color("page"), "edgecolor": "none", "alpha": 0.85},
    )


def _apart(spots: Sequence[tuple[float, float]]) -> list[float]:
    """Give heights for names, as near to their points as may be without one over another."""
    heights = [y for _, y in spots]
    order = sorted(range(len(spots)), key=lambda place: heights[place])
    for lower, upper in zip(order, order[1:], strict=False):
        heights[upper] = max(heights[upper], heights[lower] + _LINE)
    excess = max(0.0, max(heights) - 1.0)
    return [height - excess / 2 if excess else height for height in heights]


def _label_of(name: str) -> str:
    """Shorten a name for a drawing, where the table beside it has it whole: of a grafted network the grafts stay."""
    short = name[name.find("+") :] if "+" in name else name
    return short if len(short) <= _LONGEST_LABEL else f"{short[: _LONGEST_LABEL - 1]}…"


_LONGEST_LABEL = 34


def forest(name: str, gains: Sequence[Gain]) -> str:
    """Draw differences and their intervals below each other, with a line at 0.

    What lies wholly to the right of it is better, wholly to the left worse; what covers it decides nothing.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def draw(axes: "Axes") -> None:
        bare(axes)
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color=color("rule"), linewidth=0.8)
        axes.axvline(0.0, color=color("muted"), linewidth=1.2)
        for place, each in enumerate(gains):
            tone = color("right" if each.low > 0 else "wrong" if each.high < 0 else "muted")
            axes.plot([each.low, each.high], [place] * 2, color=tone, linewidth=2.2, solid_capstyle="butt")
            axes.plot(each.mean, place, "o", color=tone, markersize=7)
        axes.set_yticks(range(len(gains)), [_label_of(each.name) for each in gains], color=color("ink"))
        axes.set_ylim(len(gains) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+g}" if round(value, 9) else "0"))

    return drawn(name, (_FOREST_WIDTH, _FOREST_FRAME + _ROW_INCHES * len(gains)), draw)
