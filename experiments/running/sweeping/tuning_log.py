"""The log of a search for hparams, as Markdown for people: every trial, what it changed and what it scored."""

import json
from collections.abc import Sequence

from experiments.reporting.table import COLUMNS, aligned
from experiments.running.sweeping.tuning import Trial


def table(alg_name: str, arguments: Sequence[str], traced: str, trials: Sequence[Trial], best: Trial) -> str:
    """The command, Base's scores and a row per trial in the order they were made; the best one's score in bold.

    traced: the layers that a causal trace names, in words. Why a trial was refused stands below the table.
    """
    base = trials[0].summary["base"]
    shown = [key for key in COLUMNS if base.get(key) is not None]
    heading = ["trial", "changed", *(COLUMNS[key] for key in shown), "score", "seconds"]
    rows = [["", "Base", *(_number(base[key]) for key in shown), "", ""]]
    for count, trial in enumerate(trials, start=1):
        if trial.refused:
            rows.append([str(count), _changed(trial), *["–" for _ in shown], "0.0", "–"])
            continue
        mark = "**" if trial is best else ""
        values = [_number(trial.summary["unlearned"].get(key)) for key in shown]
        seconds = f"{trial.summary['seconds']['total']:.0f}"
        rows.append([str(count), _changed(trial), *values, f"{mark}{trial.score:.1f}{mark}", seconds])
    facts = f"{trials[0].summary['unlearn_num']} facts, seed {trials[0].summary['seed']}"
    refused = [f"Trial {count}: {trial.refused}.\n\n" for count, trial in enumerate(trials, start=1) if trial.refused]
    return (
        f"# {alg_name}: {len(trials)} trials, {facts}\n\n"
        f"`python experiments/tune.py {' '.join(arguments)}`\n\n"
        "A row changes one setting of the best row above it. Score: harmonic mean of forgotten and kept "
        "(`experiments.running.sweeping.tuning.score`).\n\n"
        f"{aligned([heading, *rows])}\n\n"
        f"{''.join(refused)}"
        f"Causal trace: {traced}.\n\n"
        f"Start: `{json.dumps(trials[0].hparams.model_dump())}`\n"
    )


def _changed(trial: Trial) -> str:
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in trial.changed.items()) or "(the start)"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
