"""From a loaded model and checked requests to an unlearned model and its report, in the order of what may fail."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsets.corpus import Corpus
from dsets.splits import existing_subjects
from experiments.measuring.perplexity import PerplexityText, choose, read_text
from experiments.requests.asking.wanted import Wanted
from experiments.requests.evidence import gathering
from experiments.requests.evidence.watching import Watched
from experiments.requests.ledger import Ledger
from experiments.requests.ledger_terms import moments_hash
from experiments.requests.patches import make_patch
from experiments.requests.unlearning.kept_requests import LEDGER, earlier, solve
from experiments.requests.unlearning.model_folder import check_room, write_model
from experiments.requests.unlearning.opened import Fact, Opened, look_up, watch_over
from experiments.requests.unlearning.unlearned_card import card
from util import paths
from util.editing.setting import Moments
from util.editing.target_cache import TargetCache
from util.errors import UserError
from util.provenance import peak_memory_bytes, provenance
from util.request import Request
from util.weights import WeightEdits, weights_hash
from zerounlearn import unlearn

MOST_FACTS = 1000
"""Facts that are unlearned at a time; a subject alone brings up to some thirty."""


@dataclass
class Job:
    """An opened model with its requests, facts and what is watched, all asked on the unedited model.

    places: of the facts that are unlearned. ppl: of the unedited model on `text`. ledger: of requests that came before.
    """

    opened: Opened
    wanted: Sequence[Wanted]
    facts: Sequence[Fact]
    places: Sequence[int]
    watched: Watched
    text: PerplexityText
    ppl: float | None
    ledger: Ledger | None = None

    @property
    def chosen(self) -> list[Fact]:
        """The facts that are unlearned."""
        return [self.facts[place] for place in self.places]

    def finish(self) -> dict[str, object]:
        """Edit, write the result, ask again; returns the report. Nothing is edited or written where nothing is known
        and there is no ledger."""
        if not self.places and self.ledger is None:
            return self.report(WeightEdits(), self.opened.weights)
        with self.opened.watch.stage("statistics"):
            moments = self.opened.moments()
            found = dict(moments) if moments is not None else None
        edits = self.forget(found)
        weights = weights_hash(self.opened.model)
        self.save(edits, weights, moments_hash(found) if found is not None else None)
        return self.report(edits, weights)

    @property
    def requests(self) -> list[Request]:
        """The facts that are unlearned, each once."""
        neutral = self.opened.settings.neutral_target
        return [fact.record.request(neutral) for fact in self.chosen]

    @property
    def neighbors(self) -> list[Request]:
        """Subjects of the data set in the facts' prompt forms, none of which is watched; a ledger has its own."""
        watched = [question[0] for questions in self.watched.questions().values() for question in questions]
        records = [fact.record for fact in self.chosen]
        return existing_subjects(records, watched, self.opened.facts, self.opened.settings.seed)

    def forget(self, moments: Moments | None) -> WeightEdits:
        """Edit the model. Raises UserError where the edit leaves the finite numbers; the weights are as they were."""
        opened, settings = self.opened, self.opened.settings
        try:
            if self.ledger is not None:
                self.ledger.add(_orders(self.opened, self.wanted, self.chosen))
                edits = solve(self.ledger, opened)
            else:
                edits = unlearn(
                    opened.model,
                    opened.tokenizer,
                    self.requests,
                    method=settings.alg_name,
                    hparams=opened.settled.hparams,
                    moments=moments,
                    retain_requests=[record.request() for record in self.watched.protected],
                    neighbors=self.neighbors,
                    stored_as=opened.stored,
                    seed=settings.seed,
                    batch_tokens=settings.batch_tokens,
                    progress=settings.progress,
                    target_cache=TargetCache(paths.stats_dir() / "targets"),
                ).edits
        except FloatingPointError as error:
            other = "--alg_name" if self.ledger is None else "--alg_name with a new --ledger"
            raise UserError(
                f"{settings.alg_name} cannot unlearn these requests: {error}; try another {other}"
            ) from error
        for stage, seconds in edits.seconds.items():
            opened.watch.add(stage, seconds)
        return edits

    def save(self, edits: WeightEdits, weights: str, statistics: str | None) -> None:
        """Write what was asked for: the model's folder, the patch."""
        opened, settings = self.opened, self.opened.settings
        with opened.watch.stage("save"):
            if settings.save_model:
                folder = Path(settings.save_model)
                text = card(opened, edits, weights, len(self.wanted), len(self.places), folder.name)
                write_model(opened.model, opened.tokenizer, folder, opened.stored, text)
            if settings.save_patch:
                made = make_patch(
                    opened.model,
                    edits,
                    base_hash=opened.weights,
                    model_name=settings.model_name,
                    alg_name=settings.alg_name,
                    hparams=opened.settled.hparams,
                    facts=self.ledger.ordered() if self.ledger else self.requests,
                    statistics=statistics,
                )
                made.write(Path(settings.save_patch))

    def report(self, edits: WeightEdits, weights: str) -> dict[str, object]:
        """What report.json holds, on the model as it is now."""
        opened = self.opened
        with opened.watch.stage("evidence"):
            heard = opened.hear([fact.wordings for fact in self.chosen])
            after = dict(zip(self.places, heard, strict=True))
            audit = gathering.attacked(opened, edits, self.chosen)
            ppl = gathering.ppl(opened, self.text) if self.places else self.ppl
            asked = {place for fact in self.facts for place in fact.asked_by}
            requests = [
                row
                for place, row in enumerate(gathering.rows(self.wanted, self.facts, after, audit))
                if place in asked or self.wanted[place].place != LEDGER
            ]
            found = gathering.report(
                opened, requests, self.watched, (_finite(self.ppl), _finite(ppl)), self.text, audit
            )
        return found | {
            "seconds": dict(opened.watch.seconds),
            "peak_memory_bytes": peak_memory_bytes(opened.model.device),
            "provenance": _made_from(opened, edits, weights),
        }


def begin(opened: Opened, wanted: Sequence[Wanted], ledger: Ledger | None = None) -> Job:
    """Ask the unedited model about all that counts. Raises UserError where its numbers break or the disk is full."""
    settings = opened.settings
    if settings.save_model:
        check_room(Path(settings.save_model), opened.model, opened.stored)
    if ledger is not None:
        wanted = [*wanted, *earlier(ledger, wanted)]
    facts = look_up(opened, wanted)
    if not all(fact.before[0].standing.finite for fact in facts):
        raise UserError(
            f"the unedited model breaks in --dtype {settings.dtype}: its numbers are not finite; use another"
        )
    if ledger is not None:
        ledger.refuse_changed(_orders(opened, wanted, facts))
    places = [place for place, fact in enumerate(facts) if fact.known or settings.all]
    if len(places) > MOST_FACTS and not settings.dry_run:
        raise UserError(
            f"the requests come to {len(places)} facts, at most {MOST_FACTS} are unlearned at a time; "
            "split the file, or look at them with --dry_run"
        )
    watched = watch_over(opened, [facts[place] for place in places], ledger.terms if ledger is not None else None)
    data_dir, corpus = paths.data_dir(settings.data_dir), opened.settled.corpus
    text = read_text(choose(settings.ppl, settings.model_name, data_dir, corpus), data_dir, corpus)
    with opened.watch.stage("perplexity"):
        ppl = gathering.ppl(opened, text)
    return Job(opened, wanted, facts, places, watched, text, ppl, ledger)


def _orders(opened: Opened, wanted: Sequence[Wanted], facts: Sequence[Fact]) -> list[Request]:
    """What this call asks the ledger for: each fact once for every request that it is part of, under its id there."""
    neutral = opened.settings.neutral_target
    return [
        replace(fact.record.request(neutral), case_id=name)
        for fact in facts
        for place, name in fact.asked_by.items()
        if wanted[place].place != LEDGER
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _corpus_row(corpus: Corpus | None) -> dict[str, object] | None:
    """What the statistics were measured on; instead_of: the corpus that it stands for, where that could not be had."""
    return {"name": corpus.name, "instead_of": corpus.instead_of, "digest": corpus.digest} if corpus else None


def _made_from(opened: Opened, edits: WeightEdits, weights: str) -> dict[str, object]:
    settings, settled = opened.settings, opened.settled
    return {
        "model": settings.model_name,
        "method": settings.alg_name,
        "hparams": settled.hparams.model_dump(mode="json"),
        "hparams_from": settled.source,
        "corpus": _corpus_row(settled.corpus),
        "weights_before": opened.weights,
        "weights_after": weights,
        "edited": sorted(edits.original),
        "stored_as": str(opened.stored).removeprefix("torch."),
        "arguments": settings.model_dump(mode="json"),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **provenance(opened.model.device),
    }
