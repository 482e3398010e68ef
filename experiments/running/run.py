"""One run on a loaded model: draw, Base, edit, score, undo, write."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from baselines.registry import method
from dsets import Dataset
from dsets.splits import Draw, draw, pools, share_to_count
from experiments.running.identity import key
from experiments.running.measurer import Measurer, broken_numbers
from experiments.running.once import Made
from experiments.running.run_record import Report, Step
from experiments.running.session import Session
from experiments.running.settings import RunSettings
from util import paths, tensor_files
from util.editing.layers import check_layers
from util.editing.target_cache import TargetCache
from util.errors import UserError
from util.hparams import HParams, LayerHParams, MomentHParams, TargetHParams
from util.provenance import peak_memory_bytes, reset_peak_memory
from util.request import Request
from util.runs import Stopwatch, check_writable, finished_runs, stages
from util.weights import WeightEdits

log = logging.getLogger("zerounlearn")

COLLAPSED_PPL = 1000
"""A perplexity above this, and above ten times Base, is a model that has collapsed."""

Edit = Callable[[Sequence[Request], WeightEdits | None], WeightEdits]
"""(requests of one step, edits of the steps before) → edits."""


def resolved(session: Session, settings: RunSettings) -> RunSettings:
    """The settings with ``--ratio`` as a number of facts. Raises UserError for a data set that cannot be read."""
    if settings.ratio_or_num == "num":
        return settings
    pool = pools(session.dataset(settings.ds_name).records)[1]
    return settings.changed(unlearn_num=share_to_count(settings.forget_share, len(pool)))


def finished(measurer: Measurer, settings: RunSettings, hparams: HParams) -> Path | None:
    """The newest finished run folder of the same identity; None if there is none."""
    settings = resolved(measurer.session, settings)
    wanted = key(measurer.identity(settings, hparams).run())
    parent = paths.results_dir(settings.results_dir) / settings.alg_name
    for folder in reversed(finished_runs(parent, settings.stem)):
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if run.get("identity", {}).get("run") == wanted:
            return folder
    return None


def run(measurer: Measurer, settings: RunSettings, hparams: HParams, save_model: Path | None = None) -> Path:
    """Do one run and return its folder. The model is as before when this returns or raises.

    Base is scored first, then the requests are handed over (``--num_edits k``: in steps of k, scored after each), then
    the run is written. A step that leaves the finite numbers, or a perplexity that explodes, ends it as a collapse.
    What runs share (loading, statistics, templates, Base, and targets that an earlier run has searched) counts in every
    run's seconds, whoever waited for it; run.json says who did.
    """
    session = measurer.session
    settings = resolved(session, settings)
    watch = Stopwatch(told=not settings.quiet and not settings.progress)
    if watch.told:
        stages.info("%s, %s, seed %d", settings.alg_name, settings.ds_name, settings.seed)
    own_peak = reset_peak_memory(session.model.device)
    with watch.stage("total"):
        identity, dataset = measurer.identity(settings, hparams), session.dataset(settings.ds_name)
        facts = drawn(dataset, settings)
        for warning in facts.warnings:
            log.warning("%s: %s", settings.ds_name, warning)
        if isinstance(hparams, LayerHParams):
            check_layers(session.model, hparams)
        moments = session.moments(hparams) if isinstance(hparams, MomentHParams) else None
        templates = session.templates(settings.seed) if isinstance(hparams, TargetHParams) else None
        text = measurer.text(settings, session.corpus(hparams))
        base = measurer.base(identity, dataset, facts, text)
        shared: dict[str, Made | None] = {"statistics": moments, "context_templates": templates, "base": base}
        for name, made in shared.items():
            _count(watch, "evaluate" if name == "base" else "statistics", made)
        targets = TargetCache(paths.stats_dir() / "targets")
        options = method_options(session, settings, facts, moments, templates) | {"target_cache": targets}

        def edit(requests: Sequence[Request], previous: WeightEdits | None) -> WeightEdits:
            apply = method(settings.alg_name).apply_to_model
            edits = apply(session.model, session.tokenizer, requests, hparams, previous=previous, **options)
            for stage, seconds in edits.seconds.items():
                watch.add(stage, seconds)
            return edits

        def scored(downstream: bool) -> dict:
            session.release()
            with watch.stage("evaluate"):
                return measurer.scores(settings, dataset, facts, text, downstream=downstream)

        steps = list(_forget(session, settings, facts, edit, scored, base.value["summary"], save_model))
    shared["targets"] = Made(None, targets.saved, "a file") if targets.saved else None
    watch.add("targets", targets.saved)
    watch.seconds["load"] = session.seconds_load
    watch.seconds["total"] += session.seconds_load + targets.saved
    peak = peak_memory_bytes(session.model.device)
    return Report(
        session, identity, dataset, text, facts, options, shared, base.value, steps, watch.seconds, peak, own_peak
    ).write()


def drawn(dataset: Dataset, settings: RunSettings) -> Draw:
    """The facts of a run."""
    return draw(dataset.records, settings.unlearn_num, settings.retain_num, settings.seed, dataset.spare)


def method_options(
    session: Session, settings: RunSettings, facts: Draw, moments: Made | None, templates: Made | None
) -> dict[str, Any]:
    """What `apply_to_model` is given beside model, requests and hparams, less the cache of targets."""
    return {
        "moments": moments.value if moments else None,
        "context_templates": templates.value if templates else None,
        "retain_requests": [record.request() for record in facts.training],
        "neighbors": facts.neighbors,
        "seed": settings.seed,
        "batch_tokens": session.batch_tokens,
        "progress": settings.progress,
    }


def chunks_of(settings: RunSettings, facts: Draw) -> list[list[Request]]:
    """The requests to forget, step by step (``--num_edits``; 0: in one)."""
    requests = [record.request(settings.neutral_target) for record in facts.forget]
    size = settings.num_edits or len(requests)
    return [requests[start : start + size] for start in range(0, len(requests), size)]


def _count(watch: Stopwatch, stage: str, made: Made | None) -> None:
    """Add what a shared value cost to its stage, and to the total where another run of the process waited for it."""
    if made is None:
        return
    watch.add(stage, made.seconds)
    if made.origin == "an earlier run of this process":
        watch.seconds["total"] = watch.seconds.get("total", 0.0) + made.seconds


def _forget(
    session: Session,
    settings: RunSettings,
    facts: Draw,
    edit: Edit,
    scored: Callable[[bool], dict],
    base: dict,
    save_model: Path | None,
) -> Iterator[Step]:
    """Hand the requests over step by step; yields a Step each. All edits are undone at the end, whatever happens."""
    whole = WeightEdits()  # of all steps: one copy of each changed weight, and the keys written so far
    chunks = chunks_of(settings, facts)
    done = 0
    try:
        for number, chunk in enumerate(chunks, 1):
            done += len(chunk)
            try:
                edits = edit(chunk, whole if number > 1 else None)
            except FloatingPointError as error:
                yield Step(done, None, {}, str(error))
                return
            whole.extend(edits)
            scores = scored(downstream_due(settings.downstream_eval_steps, number, number == len(chunks)))
            reason = broken_off(edits) or broken_numbers(scores) or exploded(base, scores["summary"])
            yield Step(done, scores, edits.diagnostics, reason)
            if reason:
                return
        if save_model:
            tensor_files.save_model(session.model, session.tokenizer, save_model)
            save_model = None
    finally:
        whole.undo(session.model)
        if save_model:
            log.warning("the model is not saved to %s: the run did not get to its end", save_model)


def downstream_due(every: int, step: int, last: bool) -> bool:
    """Whether the downstream tasks are scored after that step (counted from 1): every n-th, and the last; 0: never."""
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


def check_save(folder: Path) -> Path:
    """UserError, before any work is done, when a model cannot be saved there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--save_model {folder} exists and is not an empty folder; name a new one")
    check_writable(folder.parent, "--save_model")
    return folder
