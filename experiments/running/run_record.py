"""What a run leaves behind: params.json, run.json, forget.jsonl, retain.jsonl, steps.jsonl, summary.json.

With downstream tasks also downstream.jsonl.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from dsets import Dataset, Record
from dsets.record import relation
from dsets.splits import Draw
from experiments.measuring.measure import forgotten_neighbors
from experiments.measuring.metrics import constant_answer
from experiments.measuring.perplexity import PerplexityText
from experiments.running.identity import Identity
from experiments.running.once import Made
from experiments.running.session import Session
from util import paths
from util.provenance import provenance
from util.runs import run_folder, write_json, write_jsonl

STAGES = ("load", "statistics", "keys", "targets", "solve", "evaluate", "total")


@dataclass(frozen=True)
class Step:
    """One sequential step: facts handed over so far, scores after it (None: it failed), and why it is a collapse."""

    facts: int
    scores: dict | None
    diagnostics: dict
    collapse: str | None


@dataclass(frozen=True)
class Report:
    """Everything known about a run once it has ended.

    options: what the method was given. shared: name → what runs of one process share, None where this one needs none.
    own_peak: whether `peak_memory` is this run's alone, and not that of the process so far.
    """

    session: Session
    identity: Identity
    dataset: Dataset
    text: PerplexityText
    facts: Draw
    options: dict
    shared: dict[str, Made | None]
    base: dict
    steps: list[Step]
    seconds: dict[str, float]
    peak_memory: int
    own_peak: bool

    def summary(self) -> dict[str, object]:
        """summary.json: all but ``seconds`` and ``peak_memory_bytes`` is the same for the same seed.

        n: how many facts each percentage is over. chance: what Eff would be, and Gen over paraphrases, if every prompt
        got its relation's most frequent answer. After a step that left the finite numbers ``unlearned`` has no values,
        after another collapse none of downstream tasks that were not due. ``collapse`` says at which step, and why.
        """
        last, settings = self.steps[-1], self.identity.settings
        after = dict.fromkeys(self.base["summary"]) | (last.scores["summary"] if last.scores else {})
        chance = constant_answer(
            ((relation(record), record.target_true) for record in self.dataset.records),
            ((relation(record), record.target_true) for record in self.facts.forget),
        )
        collapse = {"step": len(self.steps), "facts": last.facts, "reason": last.collapse} if last.collapse else None
        return {
            "alg_name": settings.alg_name,
            "model_name": settings.model_name,
            "ds_name": settings.ds_name,
            "seed": settings.seed,
            "unlearn_num": len(self.facts.forget),
            "retain_num": len(self.facts.retain),
            "ppl_text": self.text.kind,
            "n": counted(self.base, self.facts, self.dataset.metric),
            "chance": chance,
            "base": finite(self.base["summary"]),
            "unlearned": finite(after),
            "collapse": collapse,
            "seconds": {stage: self.seconds.get(stage, 0.0) for stage in STAGES},
            "peak_memory_bytes": self.peak_memory,
        }

    def write(self) -> Path:
        """Write the run folder and return it; it appears complete or not at all."""
        settings = self.identity.settings
        parent = paths.results_dir(settings.results_dir) / settings.alg_name
        with run_folder(parent, settings.stem) as claim:
            write_json(claim.partial / "params.json", self.identity.hparams.model_dump())
            write_json(claim.partial / "run.json", self._provenance())
            write_jsonl(claim.partial / "forget.jsonl", self._facts("forget", self.facts.forget))
            write_jsonl(claim.partial / "retain.jsonl", self._facts("retain", self.facts.retain))
            write_jsonl(claim.partial / "steps.jsonl", self._steps())
            if self.session.downstream:
                write_jsonl(claim.partial / "downstream.jsonl", self._downstream())
            write_json(claim.partial / "summary.json", self.summary())
        assert claim.final is not None, "the block has ended well"
        return claim.final

    def _provenance(self) -> dict[str, object]:
        session, moments = self.session, self.options["moments"]
        return {
            "identity": self.identity.record(),
            "arguments": self.identity.settings.model_dump(mode="json"),
            "command": sys.argv,
            **provenance(session.model.device),
            "hashes": dict(self.identity.hashes),
            "data": {
                "path": str(self.dataset.path) if self.dataset.path else None,
                "bytes": self.dataset.size,
                "records": len(self.dataset.records),
                "skipped": self.dataset.skipped,
                "notes": self.dataset.notes,
                "warnings": self.facts.warnings,
                "neighbors_of_forgotten_subjects": forgotten_neighbors(self.facts),
            },
            "corpus": self._corpus(),
            "statistics": moments.facts() if moments is not None else None,
            "downstream": session.downstream.record() if session.downstream else None,
            "context_templates": self.options["context_templates"],
            "case_ids": {
                name: [record.case_id for record in getattr(self.facts, name)]
                for name in ("forget", "retain", "same_subject", "training")
            },
            "shared": {name: made.record() if made else None for name, made in self.shared.items()},
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_memory,
            "peak_memory_of": "this run" if self.own_peak else "the process up to the end of this run",
        }

    def _corpus(self) -> dict[str, str | None] | None:
        """What the statistics are of, and what was asked for where another corpus stands for it."""
        corpus = self.session.corpus(self.identity.hparams)
        return {"name": corpus.name, "instead_of": corpus.instead_of} if corpus else None

    def _facts(self, name: str, records: list[Record]) -> Iterator[dict]:
        """A line a fact; ``before`` and ``after`` are null where they were not measured (``--no-eval_retain``)."""
        unknown = [None] * len(records)
        before, after = self.base[name] or unknown, (self.steps[-1].scores or {}).get(name) or unknown
        for record, old, new in zip(records, before, after, strict=True):
            yield {
                "case_id": record.case_id,
                "prompt": record.prompt,
                "subject": record.subject,
                "target_true": record.target_true,
                "target_new": record.target_new,
                "before": old,
                "after": new,
            }

    def _downstream(self) -> Iterator[dict]:
        last = self.steps[-1].scores
        after = last["downstream"] if last else []
        for old, new in zip_longest(self.base["downstream"], after):
            scores = [{key: one[key] for key in ("right", "log_likelihoods")} if one else None for one in (old, new)]
            yield {key: old[key] for key in ("task", "part", "row", "answer")} | dict(zip(("before", "after"), scores))

    def _steps(self) -> Iterator[dict]:
        for number, step in enumerate(self.steps, 1):
            yield {
                "step": number,
                "facts": step.facts,
                "unlearned": finite(step.scores["summary"]) if step.scores else None,
                "diagnostics": step.diagnostics,
                "collapse": step.collapse,
            }


def counted(scores: dict, facts: Draw, metric: str) -> dict[str, int]:
    """How many facts the percentages of Eff, Gen, Spe and retain are over (mquake's Gen: multi-hop cases)."""
    forget, retain = scores["forget"], len(scores["retain"])
    spoken = metric == "mquake"
    cases = {record.multihop.case_id for record in facts.forget if record.multihop}
    said = 0 if scores["summary"]["generalization"] is None else len(cases)
    return {
        "efficacy": len(forget),
        "generalization": said if spoken else sum(bool(fact["generalization"]) for fact in forget),
        "specificity": retain if spoken else sum(bool(fact["specificity"]) for fact in forget),
        "retain": retain,
    }


def finite(values: dict[str, float | None]) -> dict[str, float | None]:
    """The same with None for what JSON has no number for."""
    return {key: value if value is None or math.isfinite(value) else None for key, value in values.items()}
