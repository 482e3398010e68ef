"""The table of the runs in a results folder, without running anything.

    python experiments/summarize.py --results_dir results --methods ZeroUnlearn MEMIT

A row has the newest run of each seed. Runs of the same method, model, data set and number of facts that are not of the
newest one's identity (a sweep's variants, other weights, other code) have no part in it, and a warning counts them.
Rows with another Base (other weights, facts to watch, code) stand in a table of their own.

    python experiments/summarize.py --results_dir results --against MEMIT

--against adds, below each table, the differences to that method on the same facts and seeds, with 95 % intervals.
--costs adds the seconds and the memory that the runs took. --plot FILE.svg draws what is left of the forgotten facts
against what is left of everything else, a point a method.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from baselines.registry import METHODS
from experiments.reporting import trade_off_plot
from experiments.reporting.costs import costs
from experiments.reporting.paired import differences
from experiments.reporting.summaries import newest, run_files
from experiments.reporting.table import blocks, markdown
from util import paths
from util.errors import UserError
from util.runs import Parser, cli


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, draw the picture."""
    flags = parse(argv)
    picture = trade_off_plot.checked(Path(flags.plot)) if flags.plot else None
    folder = paths.results_dir(flags.results_dir)
    unknown = [name for name in flags.methods if name not in METHODS]
    if unknown:
        raise UserError(f"unknown method {', '.join(unknown)}; choose from {', '.join(METHODS)}")
    if flags.against and flags.against not in flags.methods:
        raise UserError(f"--against {flags.against} is not among --methods {', '.join(flags.methods)}")
    summaries = newest(path.parent for path in run_files(folder, flags.methods))
    if not summaries:
        raise UserError(f"{folder} has no finished run of {', '.join(flags.methods)}; make some with sweep.py")
    print(markdown(summaries, flags.methods, partial(_below, flags)))
    if picture:
        trade_off_plot.draw(blocks(summaries), flags.methods, picture)
        print(picture)


def _below(flags: argparse.Namespace, block: Sequence[dict]) -> str:
    """What --against asks for, where the block has that method, and what --costs does."""
    folders, texts = _folders(block), []
    if flags.against in folders:
        texts.append(differences(folders, flags.against))
    if flags.costs:
        texts.append(costs(block, flags.methods))
    return "\n\n".join(texts)


def _folders(block: Sequence[dict]) -> dict[str, list[Path]]:
    """Method → its run folders."""
    found: dict[str, list[Path]] = {}
    for summary in block:
        found.setdefault(summary["alg_name"], []).append(Path(summary["folder"]))
    return found


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line → arguments."""
    parser = Parser(prog="summarize.py", description=__doc__)
    parser.add_argument("--results_dir", help="folder of the runs (default: results/)")
    parser.add_argument("--against", metavar="METHOD", help="also print the differences to this method")
    parser.add_argument("--costs", action="store_true", help="also print seconds and memory")
    parser.add_argument("--plot", metavar="FILE", help="also draw forgotten against kept (.svg or .png)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="rows (default: all there are)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli(main)
