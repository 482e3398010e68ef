"""Plots as inline SVG, coloured by the page's style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 220, 40, 110, 10, 34
CELL, LABELS = 14, 130


@dataclass(frozen=True)
class Line:
    """One line of a chart: places on the x axis, values in percent."""

    name: str
    places: tuple[float, ...]
    values: tuple[float, ...]


def heat_map(rows: Sequence[str], columns: Sequence[str], marked: Sequence[Sequence[bool]]) -> str:
    """A grid, one cell a row and column, filled where it is marked; a cell's title says which it is."""
    cells = []
    for y, name in enumerate(rows):
        cells.append(f"<text x='0' y='{(y + 1) * CELL - 3}'>{escape(name)}</text>")
        for x, title in enumerate(columns):
            kind = "got" if marked[y][x] else "empty"
            cells.append(
                f"<rect class='{kind}' x='{LABELS + x * CELL}' y='{y * CELL}' width='{CELL - 1}' height='{CELL - 1}'>"
                f"<title>{escape(name)}: {escape(title)}</title></rect>"
            )
    return _svg(LABELS + len(columns) * CELL, len(rows) * CELL, "recovered facts by attack", cells)


def line_chart(axis: str, lines: Sequence[Line], unit: str) -> str:
    """Lines over evenly spaced places, 0 to 100 on the y axis, each named at its end."""
    places = lines[0].places
    step = (WIDTH - LEFT - RIGHT) / max(1, len(places) - 1)

    def x(i: int) -> float:
        return LEFT + i * step

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / 100)

    parts = [f"<polyline class='axis' points='{LEFT},{TOP} {LEFT},{y(0):.1f} {x(len(places) - 1):.1f},{y(0):.1f}'/>"]
    parts += [f"<text x='{LEFT - 30}' y='{y(tick) + 4:.1f}'>{tick}</text>" for tick in (0, 50, 100)]
    parts += [f"<text x='{x(i) - 4:.1f}' y='{y(0) + 14:.1f}'>{place}</text>" for i, place in enumerate(places)]
    parts.append(f"<text x='{LEFT}' y='{HEIGHT - 4}'>{escape(axis)} ({escape(unit)})</text>")
    for number, line in enumerate(lines):
        points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(line.values))
        parts.append(f"<polyline class='s{number % 3}' stroke-width='2' points='{points}'/>")
        x_name, y_name = WIDTH - RIGHT + 6, TOP + 14 * (1 + number)
        parts.append(f"<text class='s{number % 3}' x='{x_name}' y='{y_name}'>{escape(line.name)}</text>")
    return _svg(WIDTH, HEIGHT, f"{unit} by {axis}", parts)


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f"<svg viewBox='0 0 {width} {height}' width='{width}' height='{height}' role='img' "
        f"aria-label='{escape(title)}'>{''.join(parts)}</svg>"
    )
