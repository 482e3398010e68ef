"""The generation tests' figures, against cases worked out by hand."""

import math

import pytest

from dsets import Probe, Record
from experiments.measuring.fluency import ngram_entropy, reference_score, reference_statements


def test_entropy_by_hand():
    # "a b a b a": bigrams ab 2, ba 2 → 1 bit; trigrams aba 2, bab 1 → log2 3 − 2/3
    trigrams = math.log2(3) - 2 / 3
    assert ngram_entropy(["a b a b a"]) == pytest.approx((2 / 3 * 1 + 4 / 3 * trigrams) / 2)


def test_entropy_counts_punctuation_and_all_different_ngrams():
    assert ngram_entropy(["one two, three"]) == pytest.approx((2 / 3 * math.log2(3) + 4 / 3 * math.log2(2)) / 2)


def test_entropy_is_a_mean_over_texts_and_zero_where_nothing_varies():
    assert ngram_entropy(["go go go go go"]) == 0
    assert ngram_entropy(["", "one", "one two"]) == 0
    assert ngram_entropy(["a b a b a", ""]) == pytest.approx(ngram_entropy(["a b a b a"]) / 2)
    assert ngram_entropy([]) is None


def test_reference_score_by_hand():
    # N = 2: "paris" df 2 → idf 1; "rome", "lyon" df 1 → idf ln(3/2) + 1
    rare = math.log(3 / 2) + 1
    # texts: paris 1, rome 1; references: paris 2, rome 1, lyon 1
    expected = (1 * 2 + rare**2) / (math.sqrt(1 + rare**2) * math.sqrt(4 + 2 * rare**2))
    assert reference_score(["Paris Rome"], ["paris rome", "Paris, Lyon."]) == pytest.approx(100 * expected)


def test_reference_score_at_its_ends():
    assert reference_score(["Rome is old"], ["rome IS old!"]) == pytest.approx(100)
    assert reference_score(["quite another thing"], ["rome is old"]) == 0
    assert reference_score(["", "!"], ["rome"]) == 0
    assert reference_score(["rome"], [""]) == 0
    assert reference_score([], ["rome"]) is None
    assert reference_score(["rome"], []) is None


def test_leaving_the_subject_loses():
    assert reference_score(["rome is old and xylophones play"], ["rome is old"]) < reference_score(
        ["rome is old"], ["rome is old"]
    )


def test_texts_and_references_are_taken_together():
    assert reference_score(["rome", "is old"], ["rome is old"]) == pytest.approx(100)


def test_statements_of_a_record():
    record = Record(
        case_id=0,
        prompt="{} speaks",
        subject="Ada",
        target_true="French",
        target_new="English",
        neighborhood=(Probe(prompt="Michel speaks", answer="French"),),
        attribute_prompts=("John speaks",),
    )
    assert reference_statements(record) == ["Michel speaks French"]
