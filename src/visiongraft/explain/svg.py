"""Drawings inside a page, in its own fonts and colours: the one file that sets matplotlib up."""

import re
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Tone = Literal["right", "wrong", "muted", "rule", "page", "ink"]
"""What something is drawn in: the name of a CSS variable of the page, so that drawings follow its theme."""

_SETTINGS: dict[Any, Any] = {  # matplotlib's type of such a mapping changes from release to release
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and set in the page's own font
    "svg.hashsalt": "visiongraft",  # the same drawing gives the same bytes
}

# matplotlib wants colours that it knows; the page wants its own variables. These stand for them until `_themed`.
_STAND_INS: dict[Tone, str] = {
    "right": "#000001",
    "muted": "#000002",
    "rule": "#000003",
    "page": "#000004",
    "wrong": "#000005",
    "ink": "#000006",
}


def color(tone: Tone) -> str:
    """Give what matplotlib is told in the place of a colour of the page."""
    return _STAND_INS[tone]


def drawn(name: str, inches: tuple[float, float], draw: "Callable[[Axes], None]") -> str:
    """Draw into axes, and give an SVG element that takes fonts and colours from the page around it.

    Args:
        name: unique on the page.
        inches: width and height.
        draw: what to draw, in tones of `color`.
    """
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.figure import Figure

    with rc_context():  # puts the settings of the user, which we do not want here, back afterwards
        rcdefaults()
        rcParams.update(_SETTINGS)
        figure = Figure(inches, layout="constrained")
        figure.patch.set_visible(False)
        draw(figure.add_subplot())
        stream = StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _themed(stream.getvalue(), name)


def bare(axes: "Axes") -> None:
    """Give axes as few lines as they need: one below, and fine ones across."""
    muted, rule = color("muted"), color("rule")
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(rule)
    axes.grid(axis="y", color=rule, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=muted, length=0, pad=5)


def _themed(document: str, name: str) -> str:
    """Turn a document of matplotlib's into an element of the page: no header, no fixed size, our fonts and colours."""
    svg = document[document.index("<svg") :]  # an HTML page wants no XML header
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\1{name}-", svg)  # the page has several, and an id only once
    for tone, stand_in in _STAND_INS.items():
        svg = svg.replace(stand_in, f"var(--{tone})")
    return svg.strip()
