"""The heat map of a causal trace."""

import os
from pathlib import Path

from experiments.tracing.facts import PLACES, SUBJECT_LAST

TITLES = {"state": "one hidden state", "mlp": "MLPs", "attention": "attention"}
MOST_NUMBERS = 12
"""Layers up to which each cell shows its number."""


def draw(report: dict, path: Path) -> None:
    """One panel per kind: places of the token downwards, layers to the right, indirect effect in percent as colour.

    matplotlib is imported here, so that the trace runs without it.
    """
    from matplotlib.figure import Figure

    layers = len(next(iter(report["effects"].values()))[SUBJECT_LAST]["effect"])
    figure = Figure(figsize=(3.2 + len(report["effects"]) * max(2.8, 0.17 * layers), 3.2), layout="constrained")
    panels = figure.subplots(1, len(report["effects"]), sharey=True, squeeze=False)[0]
    for panel, (kind, effects) in zip(panels, report["effects"].items(), strict=True):
        cells = [_percent(effects[place], layers) for place in PLACES]
        image = panel.imshow(cells, aspect="auto", cmap="Purples", vmin=0, interpolation="nearest")
        figure.colorbar(image, ax=panel, label="indirect effect, %")
        panel.set_title(title(kind, report))
        panel.set_xlabel("layer" if kind == "state" else "middle layer")
        panel.set_yticks(range(len(PLACES)), PLACES)
        if layers <= MOST_NUMBERS:
            panel.set_xticks(range(layers))
            _write_numbers(panel, cells, image)
    figure.suptitle(f"{Path(report['model_name']).name}: what restores the answer, {report['facts']} known facts")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    figure.savefig(temporary, dpi=150, format="png")
    os.replace(temporary, path)


def _percent(values: dict | None, layers: int) -> list[float]:
    """A place that no fact has stays white."""
    return [100 * value for value in values["effect"]] if values else [float("nan")] * layers


def title(kind: str, report: dict) -> str:
    """What a panel shows."""
    size = 1 if kind == "state" else report["settings"]["window"]
    return TITLES[kind] + (f", {size} layers together" if size > 1 else "")


def _write_numbers(panel, cells: list[list[float]], image) -> None:
    middle = image.norm.vmax / 2
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            if value == value:  # not NaN
                colour = "white" if value > middle else "black"
                panel.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8)
