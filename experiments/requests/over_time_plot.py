"""What becomes of a model to which requests arrive over time, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.requests.over_time import Figures
from util.files import atomically

PANELS = {
    "earlier": "facts of earlier steps still answered, %",
    "latest": "facts of this step still answered, %",
    "specificity": "Spe, %",
    "retain": "retain, %",
    "ppl": "PPL",
    "seconds": "seconds of the step",
}
NAMES = {"ledger": "ledger (joint)", "repeated": "repeated", "alphaedit": "AlphaEdit, earlier keys"}
STYLES = {"ledger": "-", "repeated": "--", "alphaedit": ":"}
LEFT = ("earlier", "latest")
LEAST_TOP = 10
"""Per cent up to which the axes of what is left reach at least, so that one fact of two hundred is no mountain."""
STEEP = 20
"""Largest over smallest PPL from which its axis is logarithmic."""


def draw_curves(curves: Mapping[str, Sequence[Figures]], title: str, path: Path) -> None:
    """One panel a figure, one line an arm, facts that have arrived to the right; as SVG.

    matplotlib is imported here, so that the rest runs without it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    for panel, (name, label) in zip(figure.subplots(2, 3).flat, PANELS.items(), strict=True):
        values = []
        for arm, steps in curves.items():
            shown = [(step["facts"], step.get(name)) for step in steps[1:]]
            points = [(x, y) for x, y in shown if x is not None and y is not None]
            values += [y for _, y in points]
            panel.plot([x for x, _ in points], [y for _, y in points], STYLES[arm], label=NAMES[arm])
        base = next(iter(curves.values()))[0].get(name) if name in ("specificity", "retain", "ppl") else None
        if base is not None:
            panel.axhline(base, color="grey", linewidth=0.8, label="base")
        if name in LEFT:
            top = max([LEAST_TOP, *values])
            panel.set_ylim(-0.03 * top, 1.03 * top)  # a line at nought is no part of the frame
        if name == "ppl" and values and max(values) > STEEP * min(values):
            panel.set_yscale("log")
        panel.set_title(label, fontsize=10)
        panel.set_xlabel("facts that have arrived")
    figure.axes[3].legend(fontsize=8)
    figure.suptitle(title)
    with atomically(path) as temporary:
        figure.savefig(temporary, format="svg")
