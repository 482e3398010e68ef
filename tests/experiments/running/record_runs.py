"""Writes the record that test_recorded_run.py compares with: ``python -m tests.experiments.running.record_runs``."""

import json
import os
import tempfile
from pathlib import Path

from baselines import registry
from baselines.registry import METHODS
from experiments import evaluate
from experiments.running.versions import METHOD, SCORING
from tests.experiments.small import Workplace, hparams_of, read
from util.runs import write_json

RECORD = Path(__file__).parent / "recorded_runs.json"


def scores_of(work: Workplace, method: str) -> dict:
    """Facts, perplexity, and probabilities of answers before and after, of one run of a method."""
    ppl = "paper" if registry.method(method).HParams.needs_moments else "none"
    work.results = work.folder / "results" / method
    chosen = None if method == "BASE" else hparams_of(work, method)
    evaluate.main([*work.arguments(alg_name=method, hparams_fname=chosen, ppl=ppl), "--quiet"])
    (folder,) = work.runs()
    facts = [*read(folder, "forget.jsonl"), *read(folder, "retain.jsonl")]
    summary = read(folder, "summary.json")
    return {
        "case_ids": read(folder, "run.json")["case_ids"],
        "ppl": [summary[side]["ppl"] for side in ("base", "unlearned") if ppl != "none"],
        **{side: [one["probability"] for fact in facts for one in _scored(fact[side])] for side in ("before", "after")},
    }


def _scored(fact: dict) -> list[dict]:
    return [fact["efficacy"], *fact["generalization"], *fact["specificity"]]


def main() -> None:
    """Record every method with the present versions."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZEROUNLEARN_STATS"] = str(Path(folder) / "stats")
        work = Workplace(Path(folder))
        scores = {method: scores_of(work, method) for method in METHODS}
    write_json(RECORD, {"versions": {"scoring": SCORING, "method": METHOD}, "scores": scores})
    print(json.dumps({method: found["after"][:2] for method, found in scores.items()}))


if __name__ == "__main__":
    main()
