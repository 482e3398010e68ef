"""A grid of runs: methods × data sets × seeds, or one method's variants, on one model or several.

    python experiments/sweep.py --methods ZeroUnlearn MEMIT --datasets mcf zsre mquake --seeds 0 1 2
    python experiments/sweep.py --preset ablation --datasets mcf
    python experiments/sweep.py --models Llama-3.1-8B-Instruct Llama-3.2-3B-Instruct --model_path_dir /models \\
        --methods all --datasets zsre mquake mcf --seeds 1 2 3 --gpus auto

A model is loaded once, edited weights are put back bit by bit between runs, Base is scored once per data set and seed,
and runs of the same identity that are finished already are not done again. Prints the tables and where the reports are.

With several GPUs every (model, data set, seed) is a process of its own that sees one GPU; the first of each model runs
before its others, so that statistics are measured once. The tables are put together from what the processes report;
where some failed, one sweep makes up for them.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import hashlib
import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from experiments.running.script_settings import SweepSettings
from experiments.running.sweeping.gpus import Job, choose_gpus, launch, one_gpu
from util.paths import root
from util.runs import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Run the grid and print one table per model."""
    settings = SweepSettings.parse(argv, "sweep.py", __doc__)
    gpus = choose_gpus(settings.gpus, settings.device)
    parts = per_model(settings)
    jobs = [job for part in parts for job in jobs_of(part)] if len(gpus) > 1 else []
    failed = {job.model for some in in_turn(jobs) for job in launch(some, gpus)}
    if gpus:
        os.environ.update(one_gpu(gpus[0]))
    # Only now: it loads torch, which --help need not wait for, and which sees one GPU from here on.
    from experiments.running.sweeping import grid

    for part in parts:
        own = [job.report for job in jobs if job.model == part.model_name]
        if own and part.model_name not in failed:
            grid.report_of(part, own)
        else:
            grid.sweep(part)


def in_turn(jobs: Sequence[Job]) -> list[list[Job]]:
    """The first job of each model, and then the others."""
    first = list({job.model: job for job in reversed(jobs)}.values())
    return [some for some in (first, [job for job in jobs if job not in first]) if some]


def per_model(settings: SweepSettings) -> list[SweepSettings]:
    """A sweep of each model, with a report of its own where there are several."""
    if settings.models is None:
        return [settings.changed(gpus="none")]
    several = len(settings.models) > 1
    return [
        settings.changed(
            models=None,
            gpus="none",
            model_name=model,
            report=f"{settings.report}_{Path(model).name}" if several else settings.report,
        )
        for model in settings.models
    ]


def jobs_of(settings: SweepSettings) -> list[Job]:
    """Every data set and seed of one model's sweep as a process."""
    return [_job(settings, data, seed) for data, seed in product(settings.datasets, settings.seeds)]


def _job(settings: SweepSettings, data: str, seed: int) -> Job:
    model = settings.model_name
    whole = hashlib.sha256(f"{model}\n{data}".encode()).hexdigest()[:8]  # two paths may end alike
    report = f".grid/{Path(model).name}_{Path(data).stem}_{seed}_{whole}"
    own = settings.changed(datasets=(data,), seeds=(seed,), quiet=True, report=report)
    return Job(model, report, (sys.executable, str(root() / "experiments" / "sweep.py"), *own.arguments()))


if __name__ == "__main__":
    cli(main)
