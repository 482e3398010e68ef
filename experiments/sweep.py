"""A grid of runs in one process per model: methods × data sets × seeds. The model is loaded once.

    python experiments/sweep.py --methods ZeroUnlearn MEMIT --datasets mcf zsre mquake --seeds 0 1 2

Edited weights are put back bit by bit between runs, Base is scored once per data set and seed, and runs that are finished
already (same method, model, data set, seed, counts and hparams) are not done again. Prints the table and where the report is.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from experiments.arguments import add_model_flags, add_run_flags, check
from experiments.evidence import Task
from experiments.registry import METHODS
from experiments.session import Session, open_session
from experiments.table import markdown
from experiments.unlearn import read_hparams, run, runs_of
from util import paths
from util.errors import UserError
from util.hparams import HParams
from util.runs import Parser, cli, write_json, write_text

log = logging.getLogger("zerounlearn")


def main(argv: Sequence[str] | None = None) -> None:
    """Do the runs that are missing, then write and print the report."""
    flags = parse(argv)
    check(flags)
    methods = method_names(flags.methods)
    hparams = {name: read_hparams(flags, name) for name in methods}
    session = open_session(flags)
    tasks = [Task(name, data, seed) for data in flags.datasets for seed in flags.seeds for name in methods]
    summaries = []
    with tqdm(tasks, desc="runs", disable=flags.quiet) as bar:
        for task in bar:
            bar.set_postfix_str(f"{task.alg_name} {task.ds_name} seed {task.seed}")
            summaries.append(
                finished(session, task, hparams[task.alg_name]) or run(session, task, hparams[task.alg_name])[1]
            )
    table = markdown(summaries, methods)
    report = write_report(flags, table, summaries)
    print(table if flags.quiet else f"\n{table}")
    print(f"\nreport: {report}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line → arguments."""
    parser = Parser(prog="sweep.py", description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["ZeroUnlearn"], help=f"of {', '.join(METHODS)}; or all")
    parser.add_argument(
        "--datasets", nargs="+", default=["mcf", "zsre", "mquake"], help="names or files, as in evaluate.py"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--report", help="name of the report's files in the results folder (default: table)", default="table"
    )
    add_model_flags(parser)
    add_run_flags(parser)
    return parser.parse_args(argv)


def method_names(names: Sequence[str]) -> list[str]:
    """Names as given, commas allowed; ``all`` stands for every method but BASE, which every table has."""
    given = [name for text in names for name in text.split(",") if name]
    chosen = [name for name in METHODS if name != "BASE"] if given == ["all"] else given
    unknown = [name for name in chosen if name not in METHODS]
    if unknown or not chosen:
        raise UserError(f"unknown method {', '.join(unknown) or given!r}; choose from {', '.join(METHODS)}, or all")
    return list(dict.fromkeys(chosen))


def finished(session: Session, task: Task, hparams: HParams) -> dict | None:
    """The summary of a finished run of the same task, with the same hparams, flags, model and data; None if there is none."""
    wanted = json.loads(json.dumps(hparams.model_dump()))
    for folder in reversed(runs_of(session, task)):
        if json.loads((folder / "params.json").read_text(encoding="utf-8")) != wanted:
            continue
        evidence = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        same_model = evidence["hashes"]["weights"] == session.weights
        same_data = evidence["hashes"]["data"] == session.dataset(task.ds_name).digest
        if (
            same_model
            and same_data
            and all(evidence["arguments"].get(key) == getattr(session.flags, key) for key in DECIDING)
        ):
            return json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return None


DECIDING = ("neutral_target", "ppl", "num_edits", "eval_retain", "dataset_size_limit", "dtype")
"""Flags beside the task's own that change a run's numbers."""


def write_report(flags: argparse.Namespace, table: str, summaries: list[dict]) -> Path:
    """``<results_dir>/<report>.md`` for people and ``.json`` for programs."""
    folder = paths.results_dir(flags.results_dir)
    write_json(folder / f"{flags.report}.json", summaries)
    path = folder / f"{flags.report}.md"
    write_text(path, f"{table}\n")
    return path


if __name__ == "__main__":
    cli(main)
