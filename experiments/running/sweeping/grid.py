"""A grid of runs of one model in one process: methods × data sets × seeds, or one method's variants."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tqdm import tqdm

from baselines.registry import FORGETTING, METHODS
from dsets.splits import most_facts
from experiments.reporting.summaries import read_summary
from experiments.reporting.table import markdown
from experiments.running.measurer import Measurer
from experiments.running.reading import read_hparams
from experiments.running.run import finished, resolved, run
from experiments.running.script_settings import SweepSettings
from experiments.running.session import Session, open_session
from experiments.running.settings import RunSettings
from experiments.running.sweeping.variants import PRESETS, Variant, plain
from util import paths
from util.errors import UserError
from util.hparams import HParams
from util.runs import write_json, write_text


@dataclass(frozen=True)
class Planned:
    """One run of the grid. label: its row in the table."""

    label: str
    settings: RunSettings
    hparams: HParams


def sweep(settings: SweepSettings) -> None:
    """Do the runs that are missing, then write and print the report."""
    variants = rows(settings)
    own = [settings.changed(**variant.flags) for variant in variants]
    hparams = [variant.changed(read_hparams(one, variant.alg_name)) for variant, one in zip(variants, own, strict=True)]
    session = open_session(settings, settings.datasets, hparams)
    measurer, summaries = Measurer(session), []
    grid = [
        Planned(variant.label, one.run(variant.alg_name, data, seed), values)
        for data, seed in product(settings.datasets, settings.seeds)
        for variant, one, values in zip(variants, own, hparams, strict=True)
    ]
    with tqdm(different(session, grid), desc="runs", disable=not settings.progress) as bar:
        for planned in bar:
            one = planned.settings
            bar.set_postfix_str(f"{planned.label} {one.ds_name} seed {one.seed}")
            folder = finished(measurer, one, planned.hparams) or run(measurer, one, planned.hparams)
            summaries.append(read_summary(folder) | {"row": planned.label})
    show(settings, summaries)


def report_of(settings: SweepSettings, reports: Sequence[str]) -> None:
    """Write and print the report of sweeps that were parts of this one, from theirs."""
    folder = paths.results_dir(settings.results_dir)
    parts = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in reports]
    show(settings, [summary for part in parts for summary in part])


def show(settings: SweepSettings, summaries: list[dict]) -> None:
    """Write ``<results_dir>/<report>.md`` for people and ``.json`` for programs, and print the table."""
    table = markdown(summaries, [variant.label for variant in rows(settings)])
    folder = paths.results_dir(settings.results_dir)
    write_json(folder / f"{settings.report}.json", summaries)
    path: Path = folder / f"{settings.report}.md"
    write_text(path, f"{table}\n")
    print(table if settings.quiet else f"\n{table}")
    print(f"\nreport: {path}")


def rows(settings: SweepSettings) -> list[Variant]:
    """What the table's rows are: the methods, or with ``--preset`` the variants of one."""
    methods = method_names(settings.methods)
    if settings.preset is None:
        return plain(methods)
    if len(methods) != 1:
        raise UserError(f"--preset {settings.preset} varies one method; --methods names {len(methods)}")
    return PRESETS[settings.preset](methods[0], read_hparams(settings, methods[0]))


def different(session: Session, grid: Iterable[Planned]) -> list[Planned]:
    """The grid without runs that would draw the facts of an earlier one, because both ask for more than there are."""
    found: dict[tuple, Planned] = {}
    for planned in grid:
        one = resolved(session, planned.settings)
        count = min(one.unlearn_num, most_facts(session.dataset(one.ds_name).records))
        found.setdefault((one.ds_name, one.seed, planned.label, count), planned)
    return list(found.values())


def method_names(names: Sequence[str]) -> list[str]:
    """Names as given, commas allowed; ``all`` stands for every method but BASE, which every table has."""
    given = [name for text in names for name in text.split(",") if name]
    chosen = [name for one in given for name in (FORGETTING if one == "all" else [one])]
    unknown = [name for name in chosen if name not in METHODS]
    if unknown or not chosen:
        raise UserError(f"unknown method {', '.join(unknown) or given!r}; choose from {', '.join(METHODS)}, or all")
    return list(dict.fromkeys(chosen))
