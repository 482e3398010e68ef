"""The generation tests of a draw of facts: prompts in, one text each, figures over facts."""

import pytest

from dsets import Probe, Record
from experiments.measuring import free_text
from experiments.measuring.fluency import ngram_entropy, reference_score
from experiments.measuring.free_text import FreeText, free_text_summary, write_on


def record(subject, *prompts):
    return Record(
        case_id=subject,
        prompt="{} speaks",
        subject=subject,
        target_true="French",
        neighborhood=(Probe(prompt="Michel speaks", answer="French"),),
        generation_prompts=prompts,
    )


def test_every_record_gets_its_own_texts(tiny, monkeypatch):
    monkeypatch.setattr(free_text, "TEXT_TOKENS", 12)
    records = [record("Ada", "Ada was", "Ada speaks"), record("Bo"), record("Cy", "Cy is")]
    facts = write_on(*tiny, records, batch_tokens=100)
    assert [fact.prompts for fact in facts] == [one.generation_prompts for one in records]
    assert [len(fact.said) for fact in facts] == [2, 0, 1]
    assert any(fact.said for fact in facts)
    assert facts[2].said == write_on(*tiny, records[2:], batch_tokens=100)[0].said


def test_the_texts_of_a_model_are_the_same_twice(tiny, monkeypatch):
    monkeypatch.setattr(free_text, "TEXT_TOKENS", 12)
    records = [record("Ada", "Ada was", "Ada speaks")]
    assert write_on(*tiny, records, batch_tokens=100) == write_on(*tiny, records, batch_tokens=1)


def test_entropy_counts_the_prompt_and_the_reference_score_does_not():
    fact = FreeText(("Ada speaks",), (" good French and",), ("Michel speaks French",))
    assert fact.entropy == ngram_entropy(["Ada speaks good French and"])
    assert fact.reference == reference_score([" good French and"], ["Michel speaks French"]) > 0
    assert FreeText(("Michel speaks",), ("",), ("Michel speaks French",)).reference == 0


def test_means_are_over_facts_and_silence_over_prompts():
    loud = FreeText(("a b", "c d"), (" c d e", " \n"), ("c d e",))
    quiet = FreeText(("a b",), ("",), ())
    none = FreeText((), (), ("c d",))
    found = free_text_summary([loud, quiet, none])
    assert found["entropy"] == pytest.approx((loud.entropy + quiet.entropy) / 2)
    assert found["reference"] == loud.reference
    assert found["silent"] == pytest.approx(100 * 2 / 3)
    assert free_text_summary([none]) == {"entropy": None, "reference": None, "silent": None} == free_text_summary([])
