"""Choose a method's hparams for a model: the same few trials for every method, on facts that no table forgets.

    python experiments/tune.py --alg_name MEMIT,AlphaEdit --model_name SmolLM2-135M-Instruct --known strict

It starts from hparams/<METHOD>/<model>.json (or --hparams_fname) and changes one setting at a time: layers (the one
that a causal trace of the model names, and another depth), then the strengths that the method has. What is best by one
objective, the harmonic mean of what was forgotten (Eff, Gen) and what was kept (Spe, Retain, PPL), is written to
<results_dir>/tuned/<METHOD>/<model>.json, its log beside it. A trial is a run like any other, but lies in
<results_dir>/tuned/runs/, where no table takes it for the method's result: a finished one is not done again, so an
interrupted search goes on where it stopped.

The facts are the tuning part of the data set (--part tuning), a quarter of its subjects; tables that are to be honest
about it draw from the others (--part table).
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from experiments.running.script_settings import TuneSettings
from util import paths
from util.errors import UserError
from util.hparams import HParams
from util.runs import cli, write_json, write_text

log = logging.getLogger("zerounlearn")


def main(argv: Sequence[str] | None = None) -> None:
    """Search for each method in turn, on one loaded model."""
    settings = TuneSettings.parse(argv, "tune.py", __doc__)
    from experiments.running.measurer import Measurer
    from experiments.running.reading import read_hparams
    from experiments.running.session import open_session
    from experiments.running.sweeping import tuning  # these load torch, which --help need not wait for
    from experiments.running.sweeping.grid import method_names
    from experiments.running.sweeping.tuning_log import table
    from util.modeling import layer_count

    names = method_names([settings.alg_name])
    unknown = [name for name in names if name not in tuning.AXES]
    if unknown:
        raise UserError(f"--alg_name {', '.join(unknown)} has nothing to choose; take some of {', '.join(tuning.AXES)}")
    starts = {name: tuning.started(name, read_hparams(settings, name)) for name in names}
    session = open_session(settings, [settings.ds_name], list(starts.values()))
    measurer = Measurer(session)
    folder = paths.results_dir(settings.results_dir) / "tuned"
    told = settings.changed(data_dir=None, results_dir=None, model_path_dir=None).arguments()  # folders are one's own
    trial_settings = settings.changed(results_dir=str(folder / "runs"))
    layers, reason = _traced(session, settings)
    traced = f"layers {', '.join(map(str, layers))} ({reason})"
    for name, start in starts.items():
        along = tuning.axes(name, start, layers[-1], layer_count(session.model))
        trials = tuning.climb(start, along, partial(_measured, measurer, trial_settings, name))
        best = max(trials, key=lambda trial: trial.score)
        target = folder / name / paths.hparams_name(settings.model_name)
        write_json(target, best.hparams.model_dump())
        write_text(target.with_suffix(".md"), table(name, told, traced, trials, best))
        print(f"{target}: score {best.score:.1f} of {len(trials)} trials (the start's: {trials[0].score:.1f})")


def _traced(session, settings: TuneSettings) -> tuple[list[int], str]:
    """The layers that a causal trace on facts of the part names, and why; where it cannot be made, the usual ones.

    Those that are not known enough to be forgotten are there, too: the trace looks for known ones itself, and compares
    keys with those of other subjects.
    """
    from experiments.tracing.suggesting import usual_layers

    dataset = session.dataset(settings.ds_name)
    whole = replace(dataset, records=[*dataset.records, *dataset.spare], spare=())
    try:
        return session.knower.layers(
            whole, settings.seed, settings.data_dir, batch_tokens=settings.batch_tokens, progress=settings.progress
        )
    except UserError as error:  # of a model that hparams written by hand fit
        return usual_layers(session.model, f"no causal trace: {error}")


def _measured(measurer, settings: TuneSettings, name: str, hparams: HParams) -> dict:
    """The summary of the run with these hparams, an earlier one's where it is there."""
    from experiments.reporting.summaries import read_summary
    from experiments.running.run import finished, run

    one = settings.run(name, settings.ds_name, settings.seed)
    return read_summary(finished(measurer, one, hparams) or run(measurer, one, hparams))


if __name__ == "__main__":
    cli(main)
