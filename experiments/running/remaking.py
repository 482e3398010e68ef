"""A finished run's edited model once more, from what the run's folder says of it: the edit alone, without a score."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from baselines.registry import method
from dsets import Record
from dsets.splits import Draw
from experiments.running.identity import key
from experiments.running.run import chunks_of, drawn, method_options
from experiments.running.session import Session, open_session
from experiments.running.settings import RunSettings
from experiments.running.versions import METHOD
from util import paths
from util.editing.target_cache import TargetCache
from util.errors import UserError
from util.hparams import HParams, MomentHParams, TargetHParams
from util.weights import WeightEdits

INSTEAD = "name the folder that evaluate.py --save_model has written, or a patch of unlearn.py --save_patch"
"""What to do where a run cannot be made again."""

UNSCORED: dict[str, object] = {
    "ppl": "none",
    "downstream_eval_steps": 0,
    "downstream_data": None,
    "downstream_tasks": None,
    "downstream_limit": None,
    "use_cache": False,
}
"""Settings of what a run measures, which is not measured again."""


@dataclass(frozen=True)
class Remade:
    """model: edited as the run edited it. facts: what it was to forget. context: the other records of its data set.
    digest: identifies both."""

    model: PreTrainedModel
    facts: tuple[Record, ...]
    context: tuple[Record, ...]
    digest: str


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a run, finished or from an older release."""
    return (folder / "run.json").is_file() and (folder / "params.json").is_file()


def remake(folder: Path, base: str, **where: object) -> Remade:
    """The run's model, on a copy of its own. base: `model_hash` of the model that it is to be an edit of.

    where: settings of this machine (``device``, ``model_path_dir``, ``data_dir``, ``quiet`` …) in place of the run's;
    None leaves the run's. Raises UserError, where it can before anything is loaded, for a run that collapsed, that
    edited another model, or that this code, these data or these statistics would not make again.
    """
    told = _read(folder / "run.json")
    _check_told(folder, told, base)
    settings = _settings(told["arguments"], folder, where)
    hparams = method(settings.alg_name).HParams.from_json(folder / "params.json")
    session = open_session(settings, [settings.ds_name], [hparams])
    _check_same(folder, told["hashes"], session.hashes(settings.ds_name, hparams))
    dataset = session.dataset(settings.ds_name)
    facts = drawn(dataset, settings)
    cases = [record.case_id for record in facts.forget]
    if cases != told["case_ids"]["forget"]:
        raise UserError(f"{folder}: this release draws other facts than the run did; {INSTEAD}")
    _edit(session, settings, hparams, facts)
    forgotten = {id(record) for record in facts.forget}
    context = tuple(record for record in dataset.records if id(record) not in forgotten)
    return Remade(session.model, tuple(facts.forget), context, key([dataset.digest, cases]))


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); {INSTEAD}") from error


def _check_told(folder: Path, told: Mapping[str, Any], base: str) -> None:
    lacking = [name for name in ("identity", "arguments", "hashes", "case_ids") if name not in told]
    if not lacking and "model" not in told["hashes"]:
        lacking = ["hash of its model"]
    if lacking:
        raise UserError(f"{folder}/run.json has no {lacking[0]}: it is from an older release; {INSTEAD}")
    if told["identity"]["decided_by"]["code"].get("method") != METHOD:
        raise UserError(f"{folder}: the methods have changed since the run; {INSTEAD}")
    if told["hashes"]["model"] != base:
        named, dtype = told["arguments"]["model_name"], told["arguments"]["dtype"]
        raise UserError(f"{folder} is a run on another model than --before; its own is {named!r} in {dtype}")
    if _read(folder / "summary.json").get("collapse"):
        raise UserError(f"{folder}: the run's model collapsed, so that there is nothing to ask it")


def _settings(arguments: Mapping[str, Any], folder: Path, where: Mapping[str, object]) -> RunSettings:
    known = {name: value for name, value in arguments.items() if name in RunSettings.model_fields}
    here = {name: value for name, value in where.items() if value is not None}
    return RunSettings.checked(**known | UNSCORED | {"results_dir": str(folder.parent.parent)} | here)


def _check_same(folder: Path, told: Mapping[str, object], found: Mapping[str, object]) -> None:
    other = [name for name, value in found.items() if told.get(name) != value]
    if other:
        raise UserError(f"{folder} cannot be made again: its {other[0]} is not what it was; {INSTEAD}")


def _edit(session: Session, settings: RunSettings, hparams: HParams, facts: Draw) -> None:
    """All steps of the run; the edits stay."""
    moments = session.moments(hparams) if isinstance(hparams, MomentHParams) else None
    templates = session.templates(settings.seed) if isinstance(hparams, TargetHParams) else None
    options = method_options(session, settings, facts, moments, templates)
    cache, whole = TargetCache(paths.stats_dir() / "targets"), WeightEdits()
    apply = method(settings.alg_name).apply_to_model
    for number, requests in enumerate(chunks_of(settings, facts)):
        previous = whole if number else None
        whole.extend(
            apply(session.model, session.tokenizer, requests, hparams, previous=previous, target_cache=cache, **options)
        )
