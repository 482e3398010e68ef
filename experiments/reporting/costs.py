"""What runs cost: seconds of each stage and the memory at its highest, mean ± population deviation over seeds."""

import json
from collections.abc import Sequence
from pathlib import Path

from experiments.measuring.metrics import mean_and_deviation
from experiments.reporting.table import aligned

STAGES = ("statistics", "targets", "keys", "solve", "evaluate", "total")
"""The stages of a run that are shown; loading is in the total."""

GIGABYTE = 1e9


def costs(summaries: Sequence[dict], labels: Sequence[str]) -> str:
    """A Markdown table, a row per method in the order of the labels.

    A stage's seconds are what it costs alone, also where its result was kept from an earlier run; ``≤`` marks a peak
    that is the whole process's so far, of which this run may have used less.
    """
    rows = [["", *(f"{stage}, s" for stage in STAGES), "peak, GB", "runs"]]
    for label in dict.fromkeys(labels):
        runs = [summary for summary in summaries if summary.get("row", summary["alg_name"]) == label]
        if runs:
            seconds = (_cell([run["seconds"][stage] for run in runs]) for stage in STAGES)
            rows.append([label, *seconds, _peak(runs), str(len(runs))])
    return aligned(rows)


def _peak(runs: Sequence[dict]) -> str:
    """The highest of the runs."""
    own = all(_peak_is_own(Path(run["folder"])) for run in runs)
    return f"{'' if own else '≤ '}{max(run['peak_memory_bytes'] for run in runs) / GIGABYTE:.1f}"


def _peak_is_own(folder: Path) -> bool:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))["peak_memory_of"] == "this run"


def _cell(seconds: Sequence[float]) -> str:
    mean, deviation = mean_and_deviation(seconds) or (0.0, 0.0)
    return f"{mean:.1f} ± {deviation:.1f}" if len(seconds) > 1 else f"{mean:.1f}"
