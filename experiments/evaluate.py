"""Forget facts with one method and measure what is left: one method, model, data set and seed.

    python experiments/evaluate.py --alg_name ZeroUnlearn --ds_name mcf --unlearn_num 50

Prints Base beside the method; the run folder holds every fact's scores before and after.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from experiments.running.arguments import check, evaluate_parser
from experiments.running.record import Task
from experiments.running.run import check_save, finished, read_hparams, read_summary, run
from experiments.running.session import open_session
from experiments.running.table import markdown
from util.runs import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Check everything that can be checked before the model is loaded, then do the run and print its table."""
    flags = evaluate_parser().parse_args(argv)
    check(flags)
    hparams = read_hparams(flags, flags.alg_name)
    save_model = check_save(Path(flags.save_model)) if flags.save_model else None
    session = open_session(flags, [flags.ds_name], [hparams])
    task = Task(flags.alg_name, flags.ds_name, flags.seed)
    before = finished(session, task, hparams) if flags.continue_from_run and not save_model else None
    folder = before or run(session, task, hparams, save_model)
    if not flags.quiet:
        print(markdown([read_summary(folder)], [flags.alg_name]))
    print(f"{'finished before' if before else 'run'}: {folder}")


if __name__ == "__main__":
    cli(main)
