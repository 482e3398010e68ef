"""The table of the runs in a results folder, without running anything.

    python experiments/summarize.py --results_dir results --methods ZeroUnlearn MEMIT

Of runs of one method, model, data set, seed and numbers of facts the newest counts.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from experiments.registry import METHODS
from experiments.table import markdown
from experiments.unlearn import read_summary
from util import paths
from util.errors import UserError
from util.runs import Parser, cli

SAME = ("alg_name", "model_name", "ds_name", "seed", "unlearn_num", "retain_num")
"""What two runs of the same thing share."""


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    flags = parse(argv)
    folder = paths.results_dir(flags.results_dir)
    unknown = [name for name in flags.methods if name not in METHODS]
    if unknown:
        raise UserError(f"unknown method {', '.join(unknown)}; choose from {', '.join(METHODS)}")
    summaries = newest(read_summary(path.parent) for path in run_files(folder, flags.methods))
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
    """summary.json of every finished run of the methods, older ids first."""
    return [path for name in methods for path in sorted((folder / name).glob("*_run_*/summary.json"))]


def newest(summaries: Iterable[dict]) -> list[dict]:
    """The last summary of each group that shares everything in SAME, by data set and seed."""
    found = {tuple(summary[key] for key in SAME): summary for summary in summaries}
    return sorted(found.values(), key=lambda s: (s["model_name"], s["ds_name"], s["unlearn_num"], s["seed"]))


if __name__ == "__main__":
    cli(main)
