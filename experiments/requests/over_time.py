"""Requests that arrive in steps, forgotten in three ways, scored after each step on what has arrived by then.

``ledger``: the ledger's joint solve from the base. ``repeated``: the method again and again, on the model as the step
before left it, without a memory. ``alphaedit``: AlphaEdit in that way, with the keys of all steps before protected.

All are handed alike what evaluate.py hands its methods: the draw's facts to keep, and its subjects to leave alone in
the prompt forms of the requests of a solve. None of them is scored.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from baselines.registry import method
from dsets import Dataset, Record
from dsets.splits import Draw
from experiments.measuring.measure import measure
from experiments.measuring.metrics import accuracy
from experiments.measuring.perplexity import perplexity
from experiments.requests.ledger import open_ledger
from experiments.requests.ledger_terms import neighbors_of, terms_of
from experiments.running.identity import key
from experiments.running.measurer import Measurer
from experiments.running.reading import read_hparams
from experiments.running.run import drawn
from experiments.running.run_record import finite
from experiments.running.session import Session
from experiments.running.settings import RunSettings
from util import paths
from util.editing.target_cache import TargetCache
from util.errors import UserError
from util.hparams import HParams, MomentHParams
from util.request import Request
from util.runs import stages, write_json
from util.weights import WeightEdits

Figures = dict[str, float | None]

VERSION = 3
"""Raise when the same settings would lead to other figures."""


@dataclass
class Arrivals:
    """size: facts a step. folder: of one file for each scored step, and of the ledger."""

    measurer: Measurer
    settings: RunSettings
    hparams: dict[str, HParams]
    dataset: Dataset
    facts: Draw
    size: int
    folder: Path

    @property
    def session(self) -> Session:
        return self.measurer.session

    @property
    def steps(self) -> int:
        return -(-len(self.facts.forget) // self.size)

    def arrived(self, step: int) -> list[Request]:
        """All requests up to that step, counted from 1."""
        return [record.request() for record in self.facts.forget[: step * self.size]]

    def protected(self) -> list[Request]:
        """Facts to keep, for methods that read some."""
        return [record.request() for record in self.facts.training]

    @cached_property
    def neighbors(self) -> list[Record]:
        """Subjects to leave alone, a record each, for methods that do."""
        named = {one.subject for one in self.facts.neighbors}
        every = [*self.dataset.records, *self.dataset.spare]
        return list({one.subject: one for one in every if one.subject in named}.values())

    def options(self, hparams: HParams) -> dict[str, Any]:
        """What every method is given."""
        moments = self.session.moments(hparams).value if isinstance(hparams, MomentHParams) else None
        templates = self.session.templates(self.settings.seed).value
        return {"moments": moments, "context_templates": templates, "seed": self.settings.seed}

    def scored(self, step: int) -> Figures:
        """Percentages over the facts that have arrived; step 0: of the base, over all that are to come.

        earlier, latest: share of the facts before this step, and of this step, that are still answered right.
        """
        session, count = self.session, step * self.size or len(self.facts.forget)
        arrived = replace(self.facts, forget=self.facts.forget[:count])
        found = measure(
            session.model,
            session.tokenizer,
            arrived,
            self.dataset.metric,
            batch_tokens=session.scoring_tokens,
            generation=False,
            progress=self.settings.progress,
        )
        prompts = [fact.prompt.correct for fact in found.forget]
        new = (step - 1) * self.size if step else 0
        text = self.measurer.text(self.settings, None)
        summary = found.summary()
        return {
            "facts": float(len(prompts)),
            "earlier": accuracy(prompts[:new], self.dataset.metric),
            "latest": accuracy(prompts[new:], self.dataset.metric),
            "all": summary["efficacy"],
            "paraphrases": summary["generalization"],
            "specificity": summary["specificity"],
            "retain": summary["retain"],
            "ppl": perplexity(
                self.session.model, self.session.tokenizer, text, batch_tokens=self.session.scoring_tokens
            ),
        }


def prepared(measurer: Measurer, settings: RunSettings, size: int, folder: Path) -> Arrivals:
    """The facts and the hparams of both methods. UserError where either lacks."""
    dataset = measurer.session.dataset(settings.ds_name)
    facts = drawn(dataset, settings)
    own = read_hparams(settings, settings.alg_name)
    other = read_hparams(settings.changed(alg_name="AlphaEdit", hparams_fname=None), "AlphaEdit")
    hparams = {settings.alg_name: own, "AlphaEdit": other}
    return Arrivals(measurer, settings, hparams, dataset, facts, size, folder)


def curves(arrivals: Arrivals, arms: Sequence[str]) -> dict[str, list[Figures]]:
    """Arm → figures of step 0 (the base) and of every step; those of an earlier call are read, not made again."""
    base = _known(arrivals, "base", 0) or _keep(arrivals, "base", 0, arrivals.scored(0))
    made = {
        "ledger": lambda: jointly(arrivals),
        "repeated": lambda: in_sequence(arrivals, "repeated", arrivals.settings.alg_name, remembers=False),
        "alphaedit": lambda: in_sequence(arrivals, "alphaedit", "AlphaEdit", remembers=True),
    }
    return {arm: [base, *made[arm]()] for arm in arms}


def jointly(arrivals: Arrivals) -> Iterator[Figures]:
    """The ledger, solved after each step that is not scored yet."""
    session, name = arrivals.session, arrivals.settings.alg_name
    options = arrivals.options(arrivals.hparams[name])
    terms = terms_of(
        session.model,
        session.tokenizer,
        name,
        arrivals.hparams[name],
        moments=options["moments"],
        templates=options["context_templates"],
        protected=arrivals.protected(),
        neighbors=arrivals.neighbors,
        seed=options["seed"],
    )
    with open_ledger(arrivals.folder / "ledger", terms) as ledger:
        for step in range(1, arrivals.steps + 1):
            if known := _known(arrivals, "ledger", step):
                yield known
                continue
            start = time.perf_counter()
            ledger.add(arrivals.arrived(step))
            if len(ledger.standing) > len(arrivals.arrived(step)):
                raise UserError(f"{arrivals.folder / 'ledger'} has requests of later steps; remove {arrivals.folder}")
            try:
                edits = ledger.solve(session.model, session.tokenizer, moments=options["moments"])
            except FloatingPointError as error:
                raise UserError(f"{name} cannot unlearn the requests of step {step} together: {error}") from error
            seconds = time.perf_counter() - start
            with edits.undone_on_failure(session.model):
                scores = arrivals.scored(step)
            edits.undo(session.model)
            yield _keep(arrivals, "ledger", step, scores | {"seconds": seconds})


def in_sequence(arrivals: Arrivals, arm: str, name: str, *, remembers: bool) -> Iterator[Figures]:
    """A method on the model that its own steps before have left, each with its new requests only.

    remembers: it is given the keys that those steps wrote. The steps before one that is not scored yet are made again.
    """
    session, hparams, whole = arrivals.session, arrivals.hparams[name], WeightEdits()
    options = arrivals.options(hparams) | {
        "target_cache": TargetCache(paths.stats_dir() / "targets"),
        "retain_requests": arrivals.protected(),
    }
    scored = [_known(arrivals, arm, step) for step in range(1, arrivals.steps + 1)]
    if all(scored):
        yield from (figures for figures in scored if figures)
        return
    try:
        for step, known in enumerate(scored, 1):
            new = arrivals.arrived(step)[(step - 1) * arrivals.size :]
            previous = whole if remembers and step > 1 else None
            start = time.perf_counter()
            near = neighbors_of(new, arrivals.neighbors, arrivals.settings.seed)
            apply, given = method(name).apply_to_model, options | {"previous": previous, "neighbors": near}
            whole.extend(apply(session.model, session.tokenizer, new, hparams, **given))
            seconds = time.perf_counter() - start
            yield known or _keep(arrivals, arm, step, arrivals.scored(step) | {"seconds": seconds})
    finally:
        whole.undo(session.model)


def _file(arrivals: Arrivals, arm: str, step: int) -> tuple[Path, str]:
    """Where a step's figures are kept, and what decides them."""
    name = "AlphaEdit" if arm == "alphaedit" else arrivals.settings.alg_name
    settings = arrivals.settings.changed(alg_name=name)
    decided = arrivals.measurer.identity(settings, arrivals.hparams[name]).run()
    return arrivals.folder / "steps" / f"{arm}-{step:03d}.json", key([VERSION, decided, arrivals.size, arm, step])


def _known(arrivals: Arrivals, arm: str, step: int) -> Figures | None:
    path, wanted = _file(arrivals, arm, step)
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found["figures"] if found.get("key") == wanted else None


def _keep(arrivals: Arrivals, arm: str, step: int, figures: Figures) -> Figures:
    path, decided = _file(arrivals, arm, step)
    figures = finite(figures)
    write_json(path, {"key": decided, "figures": figures})
    stages.info("%s, step %d of %d", arm, step, arrivals.steps)
    return figures
