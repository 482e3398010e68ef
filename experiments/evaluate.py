"""Forget facts with one method and measure what is left: one method, model, data set and seed.

    python experiments/evaluate.py --alg_name ZeroUnlearn --ds_name mcf --unlearn_num 50

Prints Base beside the method; the run folder holds every fact's scores before and after.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from experiments.reporting.summaries import read_summary
from experiments.reporting.table import markdown
from experiments.running.settings import EvaluateSettings
from util.runs import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Check everything that can be checked before the model is loaded, then do the run and print its table."""
    settings = EvaluateSettings.parse(argv, "evaluate.py", __doc__)
    from experiments.running.measurer import Measurer  # these load torch, which --help need not wait for
    from experiments.running.reading import read_hparams
    from experiments.running.run import check_save, finished, run
    from experiments.running.session import open_session

    hparams = read_hparams(settings, settings.alg_name)
    save_model = check_save(Path(settings.save_model)) if settings.save_model else None
    measurer = Measurer(open_session(settings, [settings.ds_name], [hparams]))
    before = finished(measurer, settings, hparams) if settings.continue_from_run and not save_model else None
    folder = before or run(measurer, settings, hparams, save_model)
    if not settings.quiet:
        print(markdown([read_summary(folder)], [settings.alg_name]))
    print(f"{'finished before' if before else 'run'}: {folder}")


if __name__ == "__main__":
    cli(main)
