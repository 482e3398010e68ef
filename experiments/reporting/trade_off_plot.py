"""What is left of the forgotten facts against what is left of everything else, as a picture: a point a method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.measuring.metrics import mean_and_deviation
from experiments.reporting.table import rows_of
from util.errors import UserError
from util.files import atomically
from util.runs import check_file, check_matplotlib

KEPT = {"specificity": "Spe, %", "retain": "Retain, %"}
"""What is kept, by its name in a summary → axis."""
MARKERS = "os^vDPX<>*hp"
FORMATS = (".svg", ".png")


@dataclass(frozen=True)
class Point:
    """A method's place: Eff + Gen (0 to 200 points, less is better) and what is kept (0 to 100, more is better), each
    with its deviation over seeds."""

    label: str
    left: float
    left_deviation: float
    kept: float
    kept_deviation: float


def points(block: Sequence[dict], labels: Sequence[str], kept: str) -> list[Point]:
    """Those of one block's rows that have all three figures: a method that broke has no place, Base is not one."""
    columns = ("efficacy", "generalization", kept)
    found = []
    for label, values in rows_of(block, labels, columns)[1:]:
        seeds = [row for row in zip(*(values[name] for name in columns)) if all(map(_is_number, row))]
        left = mean_and_deviation([eff + gen for eff, gen, _ in seeds])
        held = mean_and_deviation([held for _, _, held in seeds])
        if left and held and len(seeds) == len(values[kept]):
            found.append(Point(label, *left, *held))
    return found


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def front(found: Sequence[Point]) -> list[Point]:
    """Those that no other beats in one figure without losing in the other, by what is left of the forgotten facts."""
    return sorted(
        (one for one in found if not any(_beats(other, one) for other in found)), key=lambda one: (one.left, one.kept)
    )


def _beats(one: Point, other: Point) -> bool:
    at_least = one.left <= other.left and one.kept >= other.kept
    return at_least and (one.left, one.kept) != (other.left, other.kept)


def checked(path: Path) -> Path:
    """The picture's path. UserError for a name that says no format, a place to which no file can be written, and where
    matplotlib lacks."""
    if path.suffix not in FORMATS:
        raise UserError(f"--plot {path}: give a name that ends in {' or '.join(FORMATS)}")
    check_file(path, "--plot")
    check_matplotlib("the picture", "leave --plot out")
    return path


def draw(blocks: Sequence[tuple[str, Sequence[dict]]], labels: Sequence[str], path: Path) -> None:
    """A row of panels for each block (title, summaries), a panel for each figure that is kept.

    Upper left is better; the line joins the methods that none beats; bars are one deviation over seeds. A method looks
    the same in every panel. matplotlib is imported here, so that the rest runs without it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2 * len(blocks)), layout="constrained")
    panels = figure.subplots(len(blocks), len(KEPT), squeeze=False)
    for row, (title, block) in zip(panels, blocks, strict=True):
        for panel, (name, axis) in zip(row, KEPT.items(), strict=True):
            found = points(block, labels, name)
            _fill(panel, found, labels)
            panel.set(xlabel="Eff + Gen, points (less is better)", ylabel=f"{axis} (more is better)")
            panel.grid(alpha=0.3)
        row[0].set_title(title, loc="left", fontsize=10)  # of both panels
    shown = {name: handle for panel in panels.flat for handle, name in zip(*panel.get_legend_handles_labels())}
    figure.legend(shown.values(), shown, loc="outside right upper", fontsize=9)
    with atomically(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=120)


def _fill(panel, found: Sequence[Point], labels: Sequence[str]) -> None:
    best = front(found)
    panel.plot([one.left for one in best], [one.kept for one in best], color="grey", linewidth=1, zorder=1)
    for one in found:
        index = labels.index(one.label.removesuffix(" †"))
        panel.errorbar(
            one.left,
            one.kept,
            xerr=one.left_deviation,
            yerr=one.kept_deviation,
            fmt=MARKERS[index % len(MARKERS)],
            color=f"C{index % 10}",
            markersize=8,
            elinewidth=0.8,
            label=one.label,
        )
