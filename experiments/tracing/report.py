"""What a causal trace comes to: means over the facts, the files, the table."""

from collections.abc import Sequence
from pathlib import Path

import torch

from experiments.tracing.effects import mean_effects, suggested_layers
from experiments.tracing.heatmap import draw
from experiments.tracing.restoring import Traced
from experiments.tracing.traced_facts import PLACES, SUBJECT_LAST
from util.runs import write_json


def summary(found: Sequence[Traced], kinds: Sequence[str]) -> dict[str, object]:
    """Means over the facts, ready for JSON; a place that no fact has is null."""
    clean = torch.tensor([one.clean for one in found]).double()
    blurred = torch.tensor([one.corrupted for one in found]).double()
    effects = {kind: mean_effects(found, kind) for kind in kinds}
    layers, read_from = suggested_layers(effects)
    return {
        "facts": len(found),
        "clean": clean.mean().item(),
        "blurred": blurred.mean().item(),
        "total_effect": (clean - blurred).mean().item(),
        "effects": effects,
        "suggested_layers": layers,
        "suggested_by": read_from,
    }


def write(report: dict, folder: Path, stem: str, *, plot: bool, shown: bool) -> None:
    """Write the numbers and (with `plot`) the heat map; print the table (with `shown`), the layers and the paths."""
    write_json(folder / f"{stem}.json", report)
    if plot:
        draw(report, folder / f"{stem}.png")
    if shown:
        print(table(report))
    print(f"suggested layers: {', '.join(map(str, report['suggested_layers']))}")
    print(f"numbers: {folder / stem}.json" + (f"; heat map: {folder / stem}.png" if plot else ""))


def table(report: dict) -> str:
    """The indirect effects in percent, one block per kind: a line per place, a column per layer."""
    lines = [
        f"{report['facts']} known facts of {report['tried']} tried, {report['seconds']:.1f} s; probability of the "
        f"answer {report['clean']:.3f}, blurred {report['blurred']:.3f}"
    ]
    for kind, effects in report["effects"].items():
        lines.append(f"{kind}: indirect effect in percent, layer 0 to {len(effects[SUBJECT_LAST]['effect']) - 1}")
        for place in PLACES:
            values = effects[place]
            shown = (
                " ".join(f"{round(100 * value, 1) + 0.0:6.1f}" for value in values["effect"])
                if values
                else "(no such token traced)"
            )
            lines.append(f"  {place:24}{shown}")
    return "\n".join(lines)
