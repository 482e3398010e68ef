"""The heat map of a causal trace."""

from pathlib import Path

from experiments.tracing.traced_facts import PLACES, SUBJECT_LAST
from util.files import atomically

TITLES = {"state": "one hidden state", "mlp": "MLPs", "attention": "attention"}
MOST_NUMBERS = 12
"""Layers up to which each cell shows its number."""
LEAST = 0.1
"""Percent at the dark end of the scale where no effect is larger."""


def draw(report: dict, path: Path) -> None:
    """One panel per kind: places of the token downwards, layers to the right, indirect effect in percent as colour.

    matplotlib is imported here, so that the trace runs without it.
    """
    from matplotlib.figure import Figure

    layers = len(next(iter(report["effects"].values()))[SUBJECT_LAST]["effect"])
    kinds = report["effects"]
    cells = {kind: [_percent(effects[place], layers) for place in PLACES] for kind, effects in kinds.items()}
    most = max(LEAST, *(value for rows in cells.values() for row in rows for value in row if value == value))  # not NaN
    figure = Figure(figsize=(3.2 + len(kinds) * max(2.4, 0.17 * layers), 3.2), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for panel, (kind, rows) in zip(panels, cells.items(), strict=True):
        image = panel.imshow(rows, aspect="auto", cmap="Purples", vmin=0, vmax=most, interpolation="nearest")
        size = 1 if kind == "state" else report["settings"]["window"]
        panel.set_title(TITLES[kind] + (f", {size} layers together" if size > 1 else ""))
        panel.set_xlabel("middle layer" if size > 1 else "layer")
        panel.set_yticks(range(len(PLACES)), PLACES)
        if layers <= MOST_NUMBERS:
            panel.set_xticks(range(layers))
            _write_numbers(panel, rows, most / 2)
    figure.colorbar(image, ax=list(panels), label="indirect effect, %")
    figure.suptitle(f"{Path(report['model_name']).name}: what restores the answer, {report['facts']} known facts")
    with atomically(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _percent(values: dict | None, layers: int) -> list[float]:
    """A place that no fact has stays white."""
    return [100 * value for value in values["effect"]] if values else [float("nan")] * layers


def _write_numbers(panel, cells: list[list[float]], middle: float) -> None:
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            if value == value:  # not NaN
                colour = "white" if value > middle else "black"
                text = f"{round(value, 1) + 0.0:.1f}"  # no minus before a zero
                panel.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
