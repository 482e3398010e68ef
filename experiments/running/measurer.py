"""Scores of a session's model as it is, and Base's, which are measured once for all runs that share them."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dsets
from dsets.corpus import Corpus
from dsets.splits import Draw
from experiments.downstream.scores import Scores
from experiments.measuring.measure import measure
from experiments.measuring.perplexity import PerplexityText, choose, perplexity, read_text
from experiments.measuring.published_zsre import published_zsre
from experiments.running.identity import Identity, key
from experiments.running.once import Made, Once
from experiments.running.session import Session
from experiments.running.settings import RunSettings
from util import paths
from util.errors import UserError
from util.hparams import HParams
from util.runs import write_json

Facts = dict[str, Any]
"""summary, compat, and per part of the draw the facts' rows."""


@dataclass
class Measurer:
    """Measures one session's model. The texts of the perplexity and Base's scores are kept."""

    session: Session
    kinds: Once[str, str] = field(default_factory=Once)
    texts: Once[tuple[str, str | None], PerplexityText] = field(default_factory=Once)
    base_facts: Once[str, Facts] = field(default_factory=Once)
    base_perplexities: Once[tuple[str, str], float | None] = field(default_factory=Once)
    base_tasks: Once[None, Scores] = field(default_factory=Once)

    def identity(self, settings: RunSettings, hparams: HParams) -> Identity:
        """What decides the numbers of a run. Raises UserError for a data set or corpus that cannot be read."""
        dataset, corpus = self.session.dataset(settings.ds_name), self.session.corpus(hparams)
        text, downstream = self.text(settings, corpus), self.session.downstream
        hashes = {
            **self.session.hashes(settings.ds_name, hparams),
            "metric": dataset.metric,
            "frame": asdict(self.session.frame),
            "references": dataset.references,
            "ppl_text": [text.kind, text.digest],
            "downstream": downstream.identity() if downstream else None,
        }
        return Identity(settings, hparams, hashes)

    def text(self, settings: RunSettings, corpus: Corpus | None) -> PerplexityText:
        """What the perplexity is measured on, by ``--ppl``.

        Where that is a corpus and this method has none, it is the one of another method of the sweep, or that of
        ZeroUnlearn's hparams for the model.
        """
        data_dir = paths.data_dir(settings.data_dir)
        corpus = corpus or next(iter(self.session.corpora.values()), None)
        kind = self.kinds.get(settings.ppl, lambda: choose(settings.ppl, settings.model_name, data_dir, corpus)).value
        found = self.texts.get((kind, corpus.digest if corpus else None), lambda: read_text(kind, data_dir, corpus))
        return found.value

    def scores(
        self, settings: RunSettings, dataset: dsets.Dataset, draw: Draw, text: PerplexityText, *, downstream: bool
    ) -> dict:
        """Scores of the model as it is: {"summary", "forget", "retain", "same_subject", "downstream"}, ready for JSON.

        downstream: also the downstream tasks, if the session has any.
        """
        facts = self._facts(settings, dataset, draw)
        tasks = self._tasks() if downstream else Scores({}, [])
        return _together(facts, self._perplexity(text), tasks)

    def base(self, identity: Identity, dataset: dsets.Dataset, draw: Draw, text: PerplexityText) -> Made[dict]:
        """`scores` of the unedited model: once per draw, and with ``--use_cache`` once for all runs of that Base.

        Raises UserError where its numbers are not finite, as when a model overflows float16.
        """
        settings, name = identity.settings, key(identity.base())
        path = paths.results_dir(settings.results_dir) / ".base" / f"{name[:16]}.json"
        if settings.use_cache and name not in self.base_facts.made and (kept := _kept(path, name)):
            return Made(kept, 0.0, "a file")
        facts = self.base_facts.get(name, lambda: self._facts(settings, dataset, draw))
        ppl = self.base_perplexities.get((text.kind, text.digest), lambda: self._perplexity(text))
        tasks = self.base_tasks.get(None, self._tasks)
        scores = _together(facts.value, ppl.value, tasks.value)
        if reason := broken_numbers(scores):
            raise UserError(f"the unedited model breaks in --dtype {settings.dtype}: {reason}; use another one")
        if settings.use_cache and not path.is_file():
            write_json(path, {"key": name, "decided_by": identity.base(), "scores": scores})
        return Made(scores, facts.seconds + ppl.seconds + tasks.seconds, facts.origin)

    def _facts(self, settings: RunSettings, dataset: dsets.Dataset, draw: Draw) -> Facts:
        session = self.session
        found = measure(
            session.model,
            session.tokenizer,
            draw,
            dataset.metric,
            batch_tokens=session.scoring_tokens,
            generation_tokens=session.batch_tokens,
            retain=settings.eval_retain,
            generation=not settings.skip_generation_tests,
            progress=settings.progress,
        )
        rows = {name: [fact.row() for fact in getattr(found, name)] for name in ("forget", "retain", "same_subject")}
        compat = (
            self._as_published(settings, draw) if settings.compat == "published" and dataset.metric == "zsre" else {}
        )
        return {"summary": found.summary(), "compat": compat, **rows}

    def _as_published(self, settings: RunSettings, draw: Draw) -> dict[str, float | None]:
        session = self.session
        budget, progress = session.scoring_tokens, settings.progress
        return published_zsre(session.model, session.tokenizer, draw.forget, batch_tokens=budget, progress=progress)

    def _perplexity(self, text: PerplexityText) -> float | None:
        session = self.session
        budget, progress = session.scoring_tokens, session.settings.progress
        return perplexity(session.model, session.tokenizer, text, batch_tokens=budget, progress=progress)

    def _tasks(self) -> Scores:
        session = self.session
        if session.downstream is None:
            return Scores({}, [])
        budget, progress = session.scoring_tokens, session.settings.progress
        return session.downstream.measure(session.model, session.tokenizer, batch_tokens=budget, progress=progress)


def _together(facts: Facts, ppl: float | None, tasks: Scores) -> dict:
    rows = {name: value for name, value in facts.items() if name not in ("summary", "compat")}
    return {
        "summary": facts["summary"] | {"ppl": ppl} | facts["compat"] | tasks.summary,
        **rows,
        "downstream": tasks.rows,
    }


def _kept(path: Path, name: str) -> dict | None:
    """Base scores that an earlier run of that Base has left."""
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["scores"] if found["key"] == name else None


def broken_numbers(scores: dict) -> str | None:
    """Why the scores are those of a model whose numbers are not finite, or None."""
    broken = sum(fact["efficacy"]["probability"] is None for fact in scores["forget"])
    if broken:
        return f"{broken} of {len(scores['forget'])} answers have no finite probability"
    ppl = scores["summary"]["ppl"]
    return None if ppl is None or math.isfinite(ppl) else "perplexity is not finite"
