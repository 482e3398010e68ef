"""The table of the runs in a results folder, without running anything.

    python experiments/summarize.py --results_dir results --methods ZeroUnlearn MEMIT

A row has the newest run of each seed. Runs of the same method, model, data set and number of facts whose hparams or
flags are not those of the newest (a sweep's variants) have no part in it, and a warning counts them.
"""

import argparse
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baselines.registry import METHODS
from experiments.running.run import DECIDING, read_summary
from experiments.running.table import markdown
from util import paths
from util.errors import UserError
from util.runs import Parser, cli

ROW = ("alg_name", "model_name", "ds_name", "unlearn_num")
"""What the runs of a row share, beside their settings."""

log = logging.getLogger("zerounlearn")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    flags = parse(argv)
    folder = paths.results_dir(flags.results_dir)
    unknown = [name for name in flags.methods if name not in METHODS]
    if unknown:
        raise UserError(f"unknown method {', '.join(unknown)}; choose from {', '.join(METHODS)}")
    summaries = newest(path.parent for path in run_files(folder, flags.methods))
    if not summaries:
        raise UserError(f"{folder} has no finished run of {', '.join(flags.methods)}; make some with sweep.py")
    print(markdown(summaries, flags.methods))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line → arguments."""
    parser = Parser(prog="summarize.py", description=__doc__)
    parser.add_argument("--results_dir", help="folder of the runs (default: results/)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="rows (default: all there are)")
    return parser.parse_args(argv)


def run_files(folder: Path, methods: Sequence[str]) -> list[Path]:
    """summary.json of every finished run of the methods, older ones first."""
    found = [path for name in methods for path in (folder / name).glob("*_run_*/summary.json")]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path))


def newest(folders: Iterable[Path]) -> list[dict]:
    """Summaries of runs, given the older first: of each row those of the last one's settings, the last of each seed."""
    runs = defaultdict(list)
    for folder in folders:
        summary = read_summary(folder)
        runs[tuple(summary[key] for key in ROW)].append((settings_of(folder), summary))
    chosen = []
    for row, found in runs.items():
        last, _ = found[-1]
        same = [summary for settings, summary in found if settings == last]
        if len(same) < len(found):
            log.warning(
                "%s, %s, %s, %d facts: %d runs with other hparams or flags than the newest are left out",
                *row,
                len(found) - len(same),
            )
        chosen += {summary["seed"]: summary for summary in same}.values()
    return sorted(chosen, key=lambda s: (s["model_name"], s["ds_name"], s["unlearn_num"], s["seed"]))


def settings_of(folder: Path) -> tuple[dict, dict]:
    """What decides a run's numbers beside its row and seed: its hparams, and flags."""
    arguments = json.loads((folder / "run.json").read_text(encoding="utf-8"))["arguments"]
    params = json.loads((folder / "params.json").read_text(encoding="utf-8"))
    return params, {key: arguments.get(key) for key in (*DECIDING, "retain_num")}


if __name__ == "__main__":
    cli(main)
