"""Boxes and arrows as SVG that is readable on light and on dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

Kind = Literal["map", "learnt", "fixed", "mixer", "sum"]
Way = Literal["down", "side", "around"]


@dataclass(frozen=True)
class Node:
    """A box.

    Args:
        lines: what it says.
        kind: "map" for what flows, "learnt" for layers with numbers of their own, "fixed" for those without, "mixer"
            for a part with a drawing or a name of its own, "sum" for a plus.
        row: from the top.
        column: from the left.
        parts: the modules of the block that it stands for, each with numbers of its own.
    """

    lines: tuple[str, ...]
    kind: Kind
    row: int
    column: int
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """An arrow between nodes, by their numbers: "down" into the top, into the "side", or "around" the other boxes."""

    start: int
    end: int
    way: Way = "down"


@dataclass
class Drawing:
    """A block, drawn.

    Args:
        title: above it.
        nodes: its boxes.
        edges: its arrows.
    """

    title: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def add(
        self,
        text: str | Sequence[str],
        kind: Kind,
        *,
        column: int = 0,
        row: int | None = None,
        parts: tuple[str, ...] = (),
        after: Sequence[tuple[int, Way]] | None = None,
    ) -> int:
        """Add a box, by default in the next row and below the box that was added before; give its number."""
        lines = (text,) if isinstance(text, str) else tuple(text)
        last = len(self.nodes) - 1
        place = self.nodes[last].row + 1 if row is None and self.nodes else row or 0
        self.nodes.append(Node(lines, kind, place, column, parts))
        for start, way in after if after is not None else [(last, "down")] if last >= 0 else []:
            self.edges.append(Edge(start, last + 1, way))
        return last + 1

    def residual(self, start: int, end: int, shortcut: Sequence[str], part: str) -> int:
        """Add a plus below box `end`, which also gets what enters at `start`, by way of the shortcut's box, if any."""
        row = self.nodes[end].row
        if not shortcut:
            return self.add("+", "sum", row=row + 1, after=[(end, "down"), (start, "around")])
        middle = (self.nodes[start].row + row + 1) // 2
        beside = self.add(shortcut, "learnt", column=1, row=middle, parts=(part,), after=[(start, "down")])
        return self.add("+", "sum", row=row + 1, after=[(end, "down"), (beside, "side")])


WIDTH = 270
"""Of a box, in pixels, as all that follows."""

_LINE, _PAD, _GAP, _APART, _MARGIN, _TITLE, _RADIUS = 17, 8, 18, 26, 18, 30, 10
_LETTER = 8  # wider than the mean letter of a title


_STYLE = """
.page { fill: #ffffff; stroke: #d0d7de; }
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.map { fill: none; stroke: none; }
.learnt { fill: #ddf4ff; stroke: #54aeff; }
.fixed { fill: #f6f8fa; stroke: #afb8c1; }
.mixer { fill: #fff8c5; stroke: #d4a72c; }
.sum { fill: #ffffff; stroke: #57606a; }
path { fill: none; stroke: #57606a; stroke-width: 1.3; }
.tip { fill: #57606a; stroke: none; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; stroke: #30363d; }
  text { fill: #e6edf3; }
  .learnt { fill: #0c2d6b; stroke: #388bfd; }
  .fixed { fill: #21262d; stroke: #6e7681; }
  .mixer { fill: #3b2300; stroke: #d29922; }
  .sum { fill: #0d1117; stroke: #8b949e; }
  path { stroke: #8b949e; }
  .tip { fill: #8b949e; }
}
"""


def as_svg(drawing: Drawing) -> str:
    """Write a drawing as an SVG document."""
    width = 2 * _MARGIN + max(node.column for node in drawing.nodes) * (WIDTH + _APART) + WIDTH
    if any(edge.way == "around" for edge in drawing.edges):
        width = max(width, _MARGIN + WIDTH + _APART)
    width = max(width, 2 * _MARGIN + _LETTER * len(drawing.title))
    height = _tops(drawing)[-1] + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" aria-label="{escape(drawing.title)}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip" d="M0 0.5 L8 4 L0 7.5 z"/></marker></defs>',
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="title" x="{_MARGIN}" y="{_MARGIN + 8}">{escape(drawing.title)}</text>',
        *(_edge(drawing, edge) for edge in drawing.edges),
        *(_node(drawing, node) for node in drawing.nodes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _height(node: Node) -> int:
    return 2 * _RADIUS if node.kind == "sum" else _LINE * len(node.lines) + _PAD


def _tops(drawing: Drawing) -> list[int]:
    """Give the top of each row, and the bottom of the last. A shortcut's box has room beside several rows."""
    tall = [0] * (max(node.row for node in drawing.nodes) + 1)
    for node in drawing.nodes:
        if node.parts != ("shortcut",):
            tall[node.row] = max(tall[node.row], _height(node))
    tops = [_MARGIN + _TITLE]
    for each in tall:
        tops.append(tops[-1] + each + _GAP)
    return [*tops[:-1], tops[-1] - _GAP]


def _box(drawing: Drawing, node: Node) -> tuple[int, int, int, int]:
    """Give the left, top, right and bottom of a box."""
    tops = [*_tops(drawing)]
    tops[-1] += _GAP
    middle = (tops[node.row] + tops[node.row + 1] - _GAP) // 2
    left = _MARGIN + node.column * (WIDTH + _APART)
    inset = WIDTH // 2 - _RADIUS if node.kind == "sum" else 0
    top = middle - _height(node) // 2
    return left + inset, top, left + WIDTH - inset, top + _height(node)


def _node(drawing: Drawing, node: Node) -> str:
    left, top, right, bottom = _box(drawing, node)
    radius = _RADIUS if node.kind == "sum" else 5
    size = f'width="{right - left}" height="{bottom - top}" rx="{radius}"'
    shape = f'<rect class="{node.kind}" x="{left}" y="{top}" {size}/>'
    first = top + (14 if node.kind == "sum" else _PAD // 2 + 13)
    texts = (
        f'<text x="{(left + right) // 2}" y="{first + _LINE * index}" text-anchor="middle">{escape(line)}</text>'
        for index, line in enumerate(node.lines)
    )
    return shape + "".join(texts)


def _edge(drawing: Drawing, edge: Edge) -> str:
    left, _, right, bottom = _box(drawing, drawing.nodes[edge.start])
    to_left, to_top, to_right, to_bottom = _box(drawing, drawing.nodes[edge.end])
    begin, finish, level = (left + right) // 2, (to_left + to_right) // 2, (to_top + to_bottom) // 2
    turn = bottom + _GAP // 2
    if edge.way == "side":
        path = f"M{begin} {bottom} V{level} H{to_right if begin > finish else to_left}"
    elif edge.way == "around":
        path = f"M{begin} {turn} H{_MARGIN + WIDTH + _APART // 2} V{level} H{to_right}"
    elif begin == finish:
        path = f"M{begin} {bottom} V{to_top}"
    else:
        path = f"M{begin} {bottom} V{turn} H{finish} V{to_top}"
    return f'<path d="{path}" marker-end="url(#tip)"/>'
