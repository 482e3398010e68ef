"""Controls are the facts of subjects that nobody knows, and nothing else."""

from dataclasses import replace

import dsets
from dsets.record import relation
from experiments.auditing.attack_registry import ATTACKS, choose
from experiments.auditing.context import make_controls, renamed, same, with_wrong_answers
from util.request import NEUTRAL

FACT = dsets.Record(
    case_id=7,
    prompt="{} was born in",
    subject="Ada Lovelace",
    target_true="London",
    paraphrases=("The birthplace of Ada Lovelace is", "Byron's daughter was born in"),
    generation_prompts=("Ada Lovelace spent her youth in",),
)


def test_a_renamed_record_asks_the_same_about_another_subject():
    other = renamed(FACT, "Belabry Cordale")
    assert other.text == "Belabry Cordale was born in"
    assert other.paraphrases == ("The birthplace of Belabry Cordale is",)
    assert other.target_true == FACT.target_true
    assert "Lovelace" not in repr(other)


def test_controls_are_as_many_for_every_fact_and_all_different():
    facts = [replace(FACT, case_id=i, prompt=f"{{}} {i} was born in") for i in range(3)]
    controls = make_controls(facts, seed=0, least=10)
    assert len(controls) == 12
    assert [one.prompt for one in controls] == [one.prompt for one in facts] * 4
    assert len({one.subject for one in controls}) == 12
    assert controls == make_controls(facts, seed=0, least=10) != make_controls(facts, seed=1, least=10)
    assert len(make_controls(facts * 9, seed=0, least=1)) == 27


def test_the_relation_is_the_source_s_name_or_the_prompt():
    assert relation(FACT) == FACT.prompt
    assert relation(replace(FACT, relation_id="P19")) == "P19"


def test_answers_that_begin_one_another_are_one():
    assert same("London", "london")
    assert same("United", "United Kingdom")
    assert not same("Paris", "London")


def test_quick_leaves_attacks_out_and_the_prompt_is_always_asked():
    assert list(choose(None, quick=False)) == list(ATTACKS)
    assert "prompt" in choose(None, quick=True).keys() < ATTACKS.keys()
    assert "drop_top" in choose(None, quick=True), "what edits hide is in their weights"
    assert list(choose(["lens"], quick=True)) == ["prompt", "lens"]


def test_wrong_answers_are_those_of_the_relation_and_never_true(audited):
    wrong = audited.wrong
    assert len(wrong) == 24 and {one.case_id for one in wrong}.isdisjoint(one.case_id for one in audited.facts)
    for i, one in enumerate(wrong):
        fact = audited.facts[i % len(audited.facts)]
        assert (one.subject, one.prompt) == (fact.subject, fact.prompt) and not same(one.target_true, fact.target_true)
        assert one.target_true in {other.target_true for other in audited.file if relation(other) == relation(fact)}
    asked = audited.of_wrong_answers()
    assert asked.facts == wrong
    assert [one.target_true for one in asked.controls] == [one.target_true for one in wrong]
    assert {one.subject for one in asked.controls} <= {one.subject for one in audited.controls}


def test_a_wrong_answer_is_found_for_every_fact_but_never_what_edits_lead_to(audited):
    lone = replace(FACT, relation_id="alone", target_new=NEUTRAL)
    wrong = with_wrong_answers([*audited.facts, lone], [*audited.file, lone], 0, 7, never={NEUTRAL})
    assert len(wrong) == len(audited.facts) + 1
    assert wrong[-1].target_true in {one.target_true for one in audited.file}


def test_the_alternative_stands_in_where_the_relation_has_no_other_answer(audited):
    fact = replace(audited.facts[0], target_new="Elsewhere")
    assert {one.target_true for one in with_wrong_answers([fact], [fact], seed=0, least=3)} == {"Elsewhere"}
    for untrue in (None, fact.target_true):
        assert with_wrong_answers([replace(fact, target_new=untrue)], [fact], seed=0) == ()
