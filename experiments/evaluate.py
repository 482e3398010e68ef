"""Forget facts with one method and measure what is left: one method, model, data set and seed.

    python experiments/evaluate.py --alg_name ZeroUnlearn --ds_name mcf --unlearn_num 50

Prints Base beside the method; the run folder holds every fact's scores before and after.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from experiments.arguments import check, evaluate_parser
from experiments.evidence import Task
from experiments.session import open_session
from experiments.table import markdown
from experiments.unlearn import check_save, read_hparams, run, runs_of
from util.runs import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Check everything that can be checked before the model is loaded, then do the run and print its table."""
    flags = evaluate_parser().parse_args(argv)
    check(flags)
    hparams = read_hparams(flags, flags.alg_name)
    save_model = check_save(Path(flags.save_model)) if flags.save_model else None
    session = open_session(flags, [flags.ds_name], [hparams])
    task = Task(flags.alg_name, flags.ds_name, flags.seed)
    finished = runs_of(session, task) if flags.continue_from_run else []
    if finished:
        folder = finished[-1]
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    else:
        folder, summary = run(session, task, hparams, save_model)
    if not flags.quiet:
        print(markdown([summary], [flags.alg_name]))
    print(f"{'finished before' if finished else 'run'}: {folder}")


if __name__ == "__main__":
    cli(main)
