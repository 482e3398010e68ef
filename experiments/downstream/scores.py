"""Downstream tasks of a session: what is asked for, checked before the model is loaded, and the model's scores."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from experiments.downstream.task_rows import TASKS, LocalRows, read_rows
from util.errors import UserError

if TYPE_CHECKING:
    from experiments.downstream.definitions import Loaded

METRICS = {"mrpc": {"mrpc": "acc", "mrpc_f1": "f1"}, "cola": {"cola": "mcc"}}
"""Task → key of the summary → the harness's metric; every other task has its accuracy."""


@dataclass(frozen=True)
class Scores:
    """summary: key → percent. rows: task, part, row, answer, whether it is right, log-likelihood of each choice."""

    summary: dict[str, float]
    rows: list[dict[str, object]]


@dataclass(frozen=True)
class Downstream:
    """The tasks that a session scores. path: the local file, or None for the harness's own data sets.

    digest: sha256 of the local file, or of the rows that were fetched.
    """

    loaded: "Loaded"
    path: Path | None
    digest: str
    limit: int | None = None
    known: dict = field(default_factory=dict)

    def identity(self) -> dict[str, object]:
        """What, beside the model, determines the scores; ready for JSON."""
        tasks = {}
        for part, task in self.loaded.tasks.items():
            rows = len(task.eval_docs)
            tasks[part] = {"version": task.VERSION, "rows": min(rows, self.limit or rows)}
        return {"lm_eval": version("lm_eval"), "digest": self.digest, "limit": self.limit, "tasks": tasks}

    def record(self) -> dict[str, object]:
        """For run.json: where the rows are from, and `identity`."""
        return {"path": str(self.path) if self.path else None, "identity": self.identity()}

    def measure(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, batch_tokens: int, progress: bool = False
    ) -> Scores:
        """Scores of the model as it is, by the harness."""
        from experiments.downstream.harness import InMemory, run_harness

        lm = InMemory(model, tokenizer, batch_tokens=batch_tokens, progress=progress, known=self.known)
        found = run_harness(lm, self.loaded, self.limit)
        rows = [row for part in self.loaded.tasks for row in self._rows(part, found)]
        return Scores(_summary(found["results"]), rows)

    def _rows(self, part: str, found: dict) -> list[dict[str, object]]:
        from experiments.downstream.definitions import task_of

        rows = []
        for sample in found["samples"][part]:
            values = [choice[0][0] for choice in sample["resps"]]
            place = sample["doc_id"]
            rows.append(
                {
                    "task": task_of(part),
                    "part": part,
                    "row": self.loaded.places[part][place] if self.path else place,
                    "answer": sample["target"],
                    "right": bool(np.argmax(values) == sample["target"]),
                    "log_likelihoods": [value if math.isfinite(value) else None for value in values],
                }
            )
        return sorted(rows, key=lambda row: row["row"])


def _summary(results: dict) -> dict[str, float]:
    return {
        key: 100 * float(results[name][f"{metric},none"])
        for name in TASKS
        if name in results
        for key, metric in METRICS.get(name, {name: "acc"}).items()
    }


def open_downstream(
    steps: int, data: str | None = None, wanted: Sequence[str] | None = None, limit: int | None = None
) -> Downstream | None:
    """What ``--downstream_eval_steps``, ``_data``, ``_tasks`` and ``_limit`` ask for; None where the steps are 0.

    Raises UserError for a file, rows or tasks that cannot be scored, for data that cannot be fetched, and without the
    harness.
    """
    if not steps:
        return None
    local = None if data is None else read_rows(Path(data), wanted)
    if local is None and "nli" in (wanted or ()):
        raise UserError("--downstream_tasks nli: the hub has no such set; give its rows with --downstream_data, or rte")
    if find_spec("lm_eval") is None:
        raise UserError(
            "--downstream_eval_steps: the tasks come from lm-evaluation-harness, which is not installed; "
            "pip install -r requirements-extra.txt, or leave the flag at 0"
        )
    return _load(local, wanted, limit)


def _load(local: LocalRows | None, wanted: Sequence[str] | None, limit: int | None) -> Downstream:
    from experiments.downstream.definitions import hub_tasks, local_tasks

    if local:
        return Downstream(local_tasks(local), local.path, local.digest, limit)
    loaded = hub_tasks([name for name in TASKS if name != "nli" and name in (wanted or TASKS)])
    digest = hashlib.sha256()
    for part, task in loaded.tasks.items():
        for row in task.eval_docs:
            digest.update(json.dumps([part, row], sort_keys=True, default=str).encode())
    return Downstream(loaded, None, digest.hexdigest(), limit)
