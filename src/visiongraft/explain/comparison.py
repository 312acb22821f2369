"""report.html of a comparison: one page that answers which network is better, and shows how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from markupsafe import Markup

from visiongraft.compare.presets import PRESETS
from visiongraft.compare.statistics import CONFIDENCE, confidence_of_each
from visiongraft.compare.table import Comparison, Row, points
from visiongraft.explain import usage
from visiongraft.explain.machine import describe_machine
from visiongraft.explain.page import render, write_page
from visiongraft.explain.plots import Gain, Place, forest, scatter
from visiongraft.explain.words import short_count

_OF_RUN = ("epochs", "seed")  # what of a recipe each run has for itself
_MANY = 4  # names that a headline takes


@dataclass(frozen=True)
class Figure:
    """A drawing on the page.

    Args:
        title: what it shows.
        key: what its marks are.
        summary: the same in words, for those who cannot see it.
        svg: the drawing.
    """

    title: str
    key: str
    summary: str
    svg: Markup


def write_comparison(
    found: Comparison, *, notes: Sequence[str], command: Mapping[str, object], device: torch.device
) -> Path:
    """Write the page of a comparison into its folder, whole or not at all.

    Args:
        found: the comparison.
        notes: on how the data was read.
        command: the options of `graft compare` that were given, by their names in Python.
        device: what computed.

    Returns:
        The path of the page.

    Raises:
        RunError: if the page cannot be written.
    """
    preset = PRESETS.get(found.plan.preset or "")
    page = render(
        "comparison.html.j2",
        found=found,
        plan=found.plan,
        preset=preset,
        headline=_headline(found),
        costs=_cost_figures(found),
        forest=_forest(found),
        confidence=confidence_of_each(len(found.others)),
        whole_confidence=CONFIDENCE,
        points=points,
        notes=notes,
        command=usage.command("compare", (), command),
        recipe=[(usage.flag(name), value) for name, value in asdict(found.plan.recipe).items() if name not in _OF_RUN],
        machine=describe_machine(device),
    )
    write_page(found.folder.report, page, remedy=f"The table is in {found.folder.table}.")
    return found.folder.report


def _headline(found: Comparison) -> str:
    """Name the networks, or say how many there are."""
    names = [each.name for each in found.rows]
    if len(names) > _MANY:
        return f"{len(names)} networks"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _forest(found: Comparison) -> Figure | None:
    """Draw the differences with their intervals; None where there is none."""
    gains = [
        Gain(each.name, each.difference.estimate.mean, each.difference.estimate.low, each.difference.estimate.high)
        for each in found.others
        if each.difference is not None
    ]
    if not gains:
        return None
    summary = "; ".join(
        f"{each.name} {points(each.mean)} points, {points(each.low)} to {points(each.high)}" for each in gains
    )
    return Figure(
        f"Difference to {found.reference}",
        "points of top-1, with 95% intervals",
        f"Differences to {found.reference}: {summary}.",
        Markup(forest("differences", gains)),
    )


def _cost_figures(found: Comparison) -> list[Figure]:
    """Draw the scores against what they cost."""
    rows = [each for each in found.rows if each.score is not None]
    if not rows:
        return []
    return [
        _cost_figure("macs", "Multiply-adds of one image", rows, [float(each.summary.macs) for each in rows], found),
        _cost_figure(
            "latency", "Milliseconds for one image", rows, [1e3 * each.latency.seconds for each in rows], found
        ),
    ]


def _cost_figure(name: str, title: str, rows: Sequence[Row], costs: Sequence[float], found: Comparison) -> Figure:
    write = _milliseconds if name == "latency" else _amount
    places = [_place(each, cost, found.reference) for each, cost in zip(rows, costs, strict=True)]
    summary = "; ".join(f"{each.name} {each.mean:.1%} at {write(each.cost)}" for each in places)
    return Figure(title, "top-1", f"Top-1 against {title}: {summary}.", Markup(scatter(name, places, write)))


def _place(row: Row, cost: float, reference: str) -> Place:
    assert row.score is not None
    return Place(
        row.name,
        cost,
        row.score.mean,
        (row.score.low, row.score.high),
        tuple(each.top1 for each in row.results),
        "ink" if row.name == reference else "right",
    )


def _amount(number: float) -> str:
    return short_count(round(number))


def _milliseconds(number: float) -> str:
    return f"{number:.3g}"
