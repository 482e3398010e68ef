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
from dsets.corpus import Corpus
from dsets.splits import Draw
from experiments.measuring.measure import forgotten_neighbors
from experiments.running.arguments import Stem
from experiments.running.session import Session
from util import paths
from util.hparams import HParams
from util.runs import peak_memory_bytes, provenance, run_folder, write_json, write_jsonl

STAGES = ("load", "statistics", "targets", "solve", "evaluate", "total")


@dataclass(frozen=True)
class Task:
    """What one run is about."""

    alg_name: str
    ds_name: str
    seed: int


@dataclass(frozen=True)
class Step:
    """One sequential step: facts handed over so far, scores after it (None: it failed), and why it is a collapse."""

    facts: int
    scores: dict | None
    diagnostics: dict
    collapse: str | None


@dataclass(frozen=True)
class Report:
    """Everything known about a run once it has ended. corpus: of the statistics, where the method has them."""

    session: Session
    task: Task
    stem: Stem
    hparams: HParams
    dataset: Dataset
    corpus: Corpus | None
    facts: Draw
    options: dict
    base: dict
    steps: list[Step]
    seconds: dict[str, float]

    def summary(self) -> dict[str, object]:
        """summary.json: all but ``seconds`` and ``peak_memory_bytes`` is the same for the same seed.

        After a step that left the finite numbers ``unlearned`` has no values, after another collapse none of downstream
        tasks that were not due. ``collapse`` says at which step, and why.
        """
        last = self.steps[-1]
        after = dict.fromkeys(self.base["summary"]) | (last.scores["summary"] if last.scores else {})
        collapse = {"step": len(self.steps), "facts": last.facts, "reason": last.collapse} if last.collapse else None
        return {
            "alg_name": self.task.alg_name,
            "model_name": self.stem.model_name,
            "ds_name": self.stem.ds_name,
            "seed": self.stem.seed,
            "unlearn_num": len(self.facts.forget),
            "retain_num": len(self.facts.retain),
            "ppl_text": self.session.text(self.corpus).kind,
            "base": finite(self.base["summary"]),
            "unlearned": finite(after),
            "collapse": collapse,
            "seconds": {stage: self.seconds.get(stage, 0.0) for stage in STAGES},
            "peak_memory_bytes": peak_memory_bytes(self.session.model.device),
        }

    def write(self) -> Path:
        """Write the run folder and return it; it appears complete or not at all."""
        parent = paths.results_dir(self.session.flags.results_dir) / self.task.alg_name
        with run_folder(parent, str(self.stem)) as claim:
            write_json(claim.partial / "params.json", self.hparams.model_dump())
            write_json(claim.partial / "run.json", self._provenance())
            write_jsonl(claim.partial / "forget.jsonl", self._facts("forget", self.facts.forget))
            write_jsonl(claim.partial / "retain.jsonl", self._facts("retain", self.facts.retain))
            write_jsonl(claim.partial / "steps.jsonl", self._steps())
            if self.session.downstream:
                write_jsonl(claim.partial / "downstream.jsonl", self._downstream())
            write_json(claim.partial / "summary.json", self.summary())
        return claim.final

    def _provenance(self) -> dict[str, object]:
        session, moments = self.session, self.options["moments"]
        return {
            "arguments": vars(session.flags) | vars(self.task),
            "command": sys.argv,
            **provenance(session.model.device),
            "hashes": session.hashes(self.dataset, self.corpus),
            "ppl_text": session.text_identity(self.corpus),
            "data": {
                "path": str(self.dataset.path) if self.dataset.path else None,
                "bytes": self.dataset.size,
                "records": len(self.dataset.records),
                "skipped": self.dataset.skipped,
                "notes": self.dataset.notes,
                "warnings": self.facts.warnings,
                "neighbors_of_forgotten_subjects": forgotten_neighbors(self.facts),
            },
            "statistics": moments.facts() if moments is not None else None,
            "downstream": session.downstream.record() if session.downstream else None,
            "context_templates": self.options["context_templates"],
            "case_ids": {
                name: [record.case_id for record in getattr(self.facts, name)]
                for name in ("forget", "retain", "same_subject")
            },
            "seconds": self.seconds,
            "peak_memory_bytes": peak_memory_bytes(session.model.device),
        }

    def _facts(self, name: str, records: list[Record]) -> Iterator[dict]:
        before = self.base[name]
        last = self.steps[-1].scores
        after = last[name] if last else [None] * len(before)
        for record, old, new in zip(records, before, after, strict=False):
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


def finite(values: dict[str, float | None]) -> dict[str, float | None]:
    """The same with None for what JSON has no number for."""
    return {key: value if value is None or math.isfinite(value) else None for key, value in values.items()}
