"""Controls are the facts of subjects that nobody knows, and nothing else."""

from dataclasses import replace

import dsets
from experiments.auditing.attack_registry import ATTACKS, choose
from experiments.auditing.context import make_controls, relation, renamed, same

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
    assert list(choose(["lens"], quick=True)) == ["prompt", "lens"]
