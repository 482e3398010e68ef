"""One run on a loaded model: draw, Base, edit, score, undo, write."""

import argparse
import json
import logging
import random
from collections.abc import Sequence
from pathlib import Path

from baselines.registry import method
from dsets import Dataset, Record
from dsets.splits import Draw, draw, pools, share_to_count
from experiments.running.arguments import Stem
from experiments.running.record import Report, Step, Task
from experiments.running.session import Session, broken_numbers, hparams_path
from util import paths
from util.editing.layers import check_layers
from util.errors import UserError
from util.files import atomically
from util.hparams import HParams, LayerHParams, TargetHParams
from util.runs import Stopwatch, check_writable, finished_runs
from util.weights import WeightEdits

log = logging.getLogger("zerounlearn")

DECIDING = ("neutral_target", "ppl", "num_edits", "eval_retain", "skip_generation_tests", "dataset_size_limit", "dtype")
DECIDING += ("downstream_eval_steps", "mom2_tolerance", "compat")
"""Flags beside the task's own that change a run's numbers."""

COLLAPSED_PPL = 1000
"""A perplexity above this, and above ten times Base, is a model that has collapsed."""


def stem_of(session: Session, task: Task) -> Stem:
    """The run folder's name; resolves ``--ratio``. Raises UserError for a data set that cannot be read."""
    flags, count = session.flags, session.flags.unlearn_num
    if flags.ratio_or_num == "ratio":
        count = share_to_count(flags.ratio, len(pools(session.dataset(task.ds_name).records)[1]))
    return Stem(flags.model_name, task.ds_name, task.seed, count, flags.retain_num)


def finished(session: Session, task: Task, hparams: HParams) -> Path | None:
    """The newest finished run folder with the numbers that a new run would have; None if there is none."""
    parent = paths.results_dir(session.flags.results_dir) / task.alg_name
    corpus = session.corpus(hparams) if hparams.needs_moments else None
    hashes = session.hashes(session.dataset(task.ds_name), corpus)
    for folder in reversed(finished_runs(parent, str(stem_of(session, task)))):
        evidence = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        same = [
            json.loads((folder / "params.json").read_text(encoding="utf-8")) == hparams.model_dump(mode="json"),
            evidence["hashes"] == hashes,
            evidence["ppl_text"] == session.text_identity(corpus),
            all(evidence["arguments"].get(key) == getattr(session.flags, key) for key in DECIDING),
            (evidence.get("downstream") or {}).get("identity") == session.downstream_identity,
        ]
        if all(same):
            return folder
    return None


def read_summary(folder: Path) -> dict:
    """summary.json of a run folder."""
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def read_hparams(flags: argparse.Namespace, alg_name: str) -> HParams:
    """The method's hparams, with ``--edit_layer_nums`` applied."""
    hparams = method(alg_name).HParams.from_json(hparams_path(flags, alg_name))
    wanted = flags.edit_layer_nums
    if wanted is None or not isinstance(hparams, LayerHParams):
        return hparams
    if wanted > len(hparams.layers):
        raise UserError(
            f"--edit_layer_nums {wanted}: {hparams_path(flags, alg_name)} has {len(hparams.layers)} layer(s)"
        )
    return hparams.model_copy(update={"layers": hparams.layers[-wanted:]})


def run(session: Session, task: Task, hparams: HParams, save_model: Path | None = None) -> Path:
    """Do one run and return its folder. The model is as before when this returns or raises.

    Base is scored first, then the requests are handed over (``--num_edits k``: in steps of k, scored after each), then
    the run is written. A step that leaves the finite numbers, or a perplexity that explodes, ends it as a collapse.
    """
    watch, flags = Stopwatch(), session.flags
    with watch.stage("total"):
        stem, dataset = stem_of(session, task), session.dataset(task.ds_name)
        facts = draw(dataset.records, stem.unlearn_num, stem.retain_num, task.seed)
        for warning in facts.warnings:
            log.warning("%s: %s", task.ds_name, warning)
        if isinstance(hparams, LayerHParams):
            check_layers(session.model, hparams)
        with watch.stage("statistics"):
            options = _method_options(session, task, hparams, dataset, facts)
            corpus = session.corpus(hparams) if hparams.needs_moments else None
        with watch.stage("evaluate"):
            base = session.base(dataset, facts, corpus, retain=flags.eval_retain)

        def scored(downstream: bool) -> dict:
            session.release()
            with watch.stage("evaluate"):
                return session.measured(dataset, facts, corpus, retain=flags.eval_retain, downstream=downstream)

        steps = list(_forget(session, task, hparams, facts, options, watch, base, scored, save_model))
    watch.seconds["load"] = session.seconds_load
    watch.seconds["total"] += session.seconds_load
    return Report(session, task, stem, hparams, dataset, corpus, facts, options, base, steps, watch.seconds).write()


def _forget(session, task: Task, hparams, facts: Draw, options: dict, watch, base: dict, scored, save_model):
    """Hand the requests over step by step; yields a Step each. All edits are undone at the end, whatever happens."""
    requests = [record.request(session.flags.neutral_target) for record in facts.forget]
    size = session.flags.num_edits or len(requests)
    whole = WeightEdits()  # of all steps: one copy of each changed weight, and the keys written so far
    try:
        for start in range(0, len(requests), size):
            chunk = requests[start : start + size]
            try:
                edits = method(task.alg_name).apply_to_model(
                    session.model, session.tokenizer, chunk, hparams, previous=whole, **options
                )
            except FloatingPointError as error:
                yield Step(start + len(chunk), None, {}, str(error))
                return
            whole.extend(edits)
            for stage, seconds in edits.seconds.items():
                watch.seconds[stage] = watch.seconds.get(stage, 0.0) + seconds
            scores = scored(downstream_due(session.flags, start // size + 1, start + size >= len(requests)))
            reason = broken_off(edits) or broken_numbers(scores) or exploded(base["summary"], scores["summary"])
            yield Step(start + len(chunk), scores, edits.diagnostics, reason)
            if reason:
                return
        if save_model:
            save(session, save_model)
            save_model = None
    finally:
        whole.undo(session.model)
        if save_model:
            log.warning("the model is not saved to %s: the run did not get to its end", save_model)


def downstream_due(flags: argparse.Namespace, step: int, last: bool) -> bool:
    """Whether the downstream tasks are scored after that step (counted from 1): every n-th, and the last."""
    every = flags.downstream_eval_steps
    return every > 0 and (last or step % every == 0)


def broken_off(edits: WeightEdits) -> str | None:
    """Why a method that stops by itself before numbers break did so, or None."""
    stopped = edits.diagnostics.get("stopped")
    return "the method's loss left the finite numbers" if stopped == "not finite" else None


def exploded(base: dict, after: dict) -> str | None:
    """Why the finite scores are those of a collapsed model, or None."""
    ppl = after["ppl"]
    if ppl is None or base["ppl"] is None:
        return None
    if ppl > COLLAPSED_PPL and ppl > 10 * base["ppl"]:
        return f"perplexity {ppl:.4g} (Base {base['ppl']:.4g})"
    return None


def save(session: Session, folder: Path) -> None:
    """Write the model as it is, with its tokenizer; the folder appears when it is complete."""
    with atomically(folder) as temporary:
        session.model.save_pretrained(temporary)
        session.tokenizer.save_pretrained(temporary)


def check_save(folder: Path) -> Path:
    """UserError, before any work is done, when a model cannot be saved there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--save_model {folder} exists and is not an empty folder; name a new one")
    check_writable(folder.parent, "--save_model")
    return folder


def _method_options(session: Session, task: Task, hparams: HParams, dataset: Dataset, facts: Draw) -> dict[str, object]:
    return {
        "moments": session.moments(hparams) if hparams.needs_moments else None,
        "context_templates": session.templates(task.seed) if isinstance(hparams, TargetHParams) else None,
        "retain_requests": [record.request() for record in _spare(dataset.records, facts, task.seed)],
        "seed": task.seed,
        "batch_tokens": session.batch_tokens,
        "progress": session.progress,
    }


def _spare(records: Sequence[Record], facts: Draw, seed: int) -> list[Record]:
    """Retain-pool facts for methods that train on some: as many as are forgotten, others than those that are scored.

    Where the draw took the whole pool, scored ones, with a warning.
    """
    taken = {id(record) for record in facts.retain}
    subjects = {record.subject for record in facts.forget}
    spare = [r for r in pools(records)[0] if id(r) not in taken and r.subject not in subjects]
    if not spare:
        log.info("the retain sample is the whole retain pool; methods that train on retain facts train on scored ones")
        spare = facts.retain
    return random.Random(seed).sample(spare, min(len(spare), len(facts.forget)))
