"""A grid of runs in one process: methods × data sets × seeds, or one method's variants. The model is loaded once.

    python experiments/sweep.py --methods ZeroUnlearn MEMIT --datasets mcf zsre mquake --seeds 0 1 2
    python experiments/sweep.py --preset ablation --datasets mcf

Edited weights are put back bit by bit between runs, Base is scored once per data set and seed, and runs that are
finished already (same method, model, data, seed, counts, hparams and flags) are not done again. Prints the table and
where the report is.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from baselines.registry import METHODS
from dsets.splits import most_facts
from experiments.running.arguments import add_model_flags, add_run_flags, check, seed_number
from experiments.running.record import Task
from experiments.running.run import finished, read_hparams, read_summary, run
from experiments.running.session import Session, open_session
from experiments.running.table import markdown
from experiments.running.variants import PRESETS, Variant, plain
from util import paths
from util.errors import UserError
from util.runs import Parser, cli, write_json, write_text


def main(argv: Sequence[str] | None = None) -> None:
    """Do the runs that are missing, then write and print the report."""
    flags = parse(argv)
    check(flags)
    variants = rows(flags)
    planned = [(variant, with_flags(flags, variant)) for variant in variants]
    hparams = [variant.changed(read_hparams(own, variant.alg_name)) for variant, own in planned]
    session = open_session(flags, flags.datasets, hparams)
    grid = different(session, product(flags.datasets, flags.seeds, list(zip(planned, hparams, strict=True))))
    summaries = []
    with tqdm(grid, desc="runs", disable=flags.quiet) as bar:
        for data, seed, ((variant, own), settings) in bar:
            bar.set_postfix_str(f"{variant.label} {data} seed {seed}")
            task, own_session = Task(variant.alg_name, data, seed), replace(session, flags=own)
            folder = finished(own_session, task, settings) or run(own_session, task, settings)
            summaries.append(read_summary(folder) | {"row": variant.label})
    show(flags, summaries)


def report_of(flags: argparse.Namespace, reports: Sequence[str]) -> None:
    """Write and print the report of sweeps that were parts of this one, from theirs."""
    folder = paths.results_dir(flags.results_dir)
    parts = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in reports]
    show(flags, [summary for part in parts for summary in part])


def show(flags: argparse.Namespace, summaries: list[dict]) -> None:
    """Write the report and print its table."""
    table = markdown(summaries, [variant.label for variant in rows(flags)])
    path = write_report(flags, table, summaries)
    print(table if flags.quiet else f"\n{table}")
    print(f"\nreport: {path}")


def rows(flags: argparse.Namespace) -> list[Variant]:
    """What the table's rows are: the methods, or with ``--preset`` the variants of one."""
    methods = method_names(flags.methods)
    if flags.preset is None:
        return plain(methods)
    if len(methods) != 1:
        raise UserError(f"--preset {flags.preset} varies one method; --methods names {len(methods)}")
    return PRESETS[flags.preset](methods[0], read_hparams(flags, methods[0]))


def different(session: Session, grid: Iterable[tuple]) -> list[tuple]:
    """The grid without runs that would draw the facts of an earlier one, because both ask for more than there are."""
    found = {}
    for data, seed, ((variant, own), settings) in grid:
        count = min(own.unlearn_num, most_facts(session.dataset(data).records))
        found.setdefault((data, seed, variant.label, count), (data, seed, ((variant, own), settings)))
    return list(found.values())


def with_flags(flags: argparse.Namespace, variant: Variant) -> argparse.Namespace:
    """The command line as the variant has it."""
    return argparse.Namespace(**vars(flags) | variant.flags)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line → arguments."""
    parser = Parser(prog="sweep.py", description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["ZeroUnlearn"], help=f"of {', '.join(METHODS)}; or all")
    parser.add_argument(
        "--datasets", nargs="+", default=["mcf", "zsre", "mquake"], help="names or files, as in evaluate.py"
    )
    parser.add_argument("--preset", choices=list(PRESETS), help="vary one method instead (the paper's ablations)")
    parser.add_argument("--seeds", nargs="+", type=seed_number, default=[0, 1, 2], help="draws (default: 0 1 2)")
    parser.add_argument(
        "--report", help="name of the report's files in the results folder (default: table)", default="table"
    )
    add_model_flags(parser)
    add_run_flags(parser)
    return parser.parse_args(argv)


def method_names(names: Sequence[str]) -> list[str]:
    """Names as given, commas allowed; ``all`` stands for every method but BASE, which every table has."""
    given = [name for text in names for name in text.split(",") if name]
    every = [name for name in METHODS if name != "BASE"]
    chosen = [name for one in given for name in (every if one == "all" else [one])]
    unknown = [name for name in chosen if name not in METHODS]
    if unknown or not chosen:
        raise UserError(f"unknown method {', '.join(unknown) or given!r}; choose from {', '.join(METHODS)}, or all")
    return list(dict.fromkeys(chosen))


def write_report(flags: argparse.Namespace, table: str, summaries: list[dict]) -> Path:
    """``<results_dir>/<report>.md`` for people and ``.json`` for programs."""
    folder = paths.results_dir(flags.results_dir)
    write_json(folder / f"{flags.report}.json", summaries)
    path = folder / f"{flags.report}.md"
    write_text(path, f"{table}\n")
    return path


if __name__ == "__main__":
    cli(main)
