"""The plot of an autoscaling benchmark: a column for each trace, with pods, queue and lost time below one another."""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, TOP, GAP = 360, 130, 60, 60, 40
COLOURS = ("#1b6ca8", "#d1495b")


class Point(NamedTuple):
    """One moment of a run."""

    hour: float
    pods: int
    needed: int
    waiting: float
    lost_hours: float


class Column(NamedTuple):
    """One trace, and the runs of both policies on it."""

    title: str
    names: tuple[str, str]
    runs: tuple[Sequence[Point], Sequence[Point]]


_ROWS: tuple[tuple[str, Callable[[Point], float]], ...] = (
    ("pods", lambda point: point.pods),
    ("requests waiting", lambda point: point.waiting),
    ("hours lost in queues", lambda point: point.lost_hours),
)


def _line(points: Sequence[tuple[float, float]], most: tuple[float, float], colour: str, more: str = "") -> str:
    places = " ".join(f"{x / most[0] * WIDTH:.1f},{HEIGHT - y / most[1] * HEIGHT:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.2" {more}/>'


def _panel(column: Column, row: int) -> str:
    label, value = _ROWS[row]
    hours = max(point.hour for point in column.runs[0]) or 1.0
    most = (hours, max(1.0, *(value(point) for run in column.runs for point in run)))
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>']
    if row == 0:
        parts.append(_line([(p.hour, p.needed) for p in column.runs[0]], most, "#555", 'stroke-dasharray="3 2"'))
    for run, colour in zip(column.runs, COLOURS, strict=True):
        parts.append(_line([(point.hour, value(point)) for point in run], most, colour))
    parts.append(f'<text x="-6" y="10" text-anchor="end">{most[1]:.0f}</text>')
    parts.append(f'<text x="-6" y="{HEIGHT}" text-anchor="end">0</text>')
    parts.append(f'<text x="4" y="-4">{label}</text>')
    if row == len(_ROWS) - 1:
        parts.append(f'<text x="{WIDTH}" y="{HEIGHT + 14}" text-anchor="end">{hours:.0f} h</text>')
    return "".join(parts)


def plot(*columns: Column) -> str:
    """The plot as SVG. The dashed line is the fewest pods that carry the load."""
    parts = []
    for index, column in enumerate(columns):
        x = LEFT + index * (WIDTH + LEFT)
        parts.append(f'<text x="{x}" y="16" font-size="14">{escape(column.title)}</text>')
        for place, (name, colour) in enumerate(zip(column.names, COLOURS, strict=True)):
            parts.append(f'<text x="{x + place * 130}" y="34" fill="{colour}">{escape(name)}</text>')
        parts += [
            f'<g transform="translate({x},{TOP + row * (HEIGHT + GAP)})">{_panel(column, row)}</g>'
            for row in range(len(_ROWS))
        ]
    width, height = LEFT + len(columns) * (WIDTH + LEFT), TOP + len(_ROWS) * (HEIGHT + GAP)
    style = 'font-family="sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )
