"""A model whose weights are finite and whose numbers are not: a collapse that is written down, not a lost run."""

import json

import pytest

from experiments import evaluate
from experiments.running.measurer import broken_numbers
from tests.experiments.small import Workplace
from util.weights import WeightEdits


@pytest.mark.parametrize("ppl", ["none", "paper"])
def test_finite_weights_that_overflow_are_a_collapse(tmp_path, monkeypatch, ppl):
    def overflowing(model, tokenizer, requests, hparams, **options):
        edits = WeightEdits()
        for name in hparams.rewrite_modules():
            edits.write(model, name, model.get_submodule(name).weight.detach() * 1e38)
        return edits

    work = Workplace(tmp_path)
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    monkeypatch.setattr("zerounlearn.apply_to_model", overflowing)
    evaluate.main(work.arguments(ppl=ppl))
    (run,) = work.runs()
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert summary["collapse"]["reason"] == "3 of 3 answers have no finite probability"
    for fact in map(json.loads, (run / "forget.jsonl").read_text(encoding="utf-8").splitlines()):
        assert fact["before"]["efficacy"]["probability"] > 0
        assert fact["after"]["efficacy"]["probability"] is None


def test_an_answer_or_a_perplexity_without_a_finite_number_is_a_broken_model():
    facts = [{"efficacy": {"probability": 0.5}}, {"efficacy": {"probability": None}}]
    for forget, ppl, broken in (
        (facts, 4.0, True),
        (facts[:1], float("inf"), True),
        (facts[:1], float("nan"), True),
        (facts[:1], None, False),
        (facts[:1], 4.0, False),
    ):
        assert bool(broken_numbers({"forget": forget, "summary": {"ppl": ppl}})) is broken
