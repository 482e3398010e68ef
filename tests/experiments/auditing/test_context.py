"""Controls are the facts of subjects that nobody knows, and nothing else."""

import random
import statistics
from dataclasses import replace

import pytest

import dsets
from dsets.record import relation
from experiments.auditing.attack_registry import ATTACKS, choose
from experiments.auditing.context import make_controls, renamed, same, with_wrong_answers
from experiments.auditing.verdict import LEVEL, figure
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
    assert (
        sum(wrong.values()) == 48
        and len(wrong) == 6
        and {one.case_id for one in wrong}.isdisjoint(one.case_id for one in audited.facts)
    )
    true = {(one.subject, relation(one)): one.target_true for one in audited.file}
    for one in wrong:
        assert not same(one.target_true, true[one.subject, relation(one)])
        assert one.target_true in {other.target_true for other in audited.file if relation(other) == relation(one)}
    asked = audited.of_wrong_answers()
    assert asked.facts == tuple(wrong)
    for one, control in zip(wrong, asked.controls, strict=True):
        assert (control.prompt, control.target_true) == (one.prompt, one.target_true)
    assert {one.subject for one in asked.controls} <= {one.subject for one in audited.controls}


def test_an_answer_is_asked_of_every_other_fact_of_its_relation_whose_answer_it_is_not():
    answers = ("London", "London", "Paris", "Rome")
    facts = [replace(FACT, case_id=i, subject=f"Person {i}", target_true=one) for i, one in enumerate(answers)]
    also = replace(facts[3], case_id=9, target_true="London")  # Rome's subject has two answers
    wrong = with_wrong_answers(facts, [*facts, also], seed=0, least=24)
    assert {(one.subject, one.target_true): count for one, count in wrong.items()} == {
        ("Person 2", "London"): 12,
        **{(f"Person {i}", "Paris"): 2 for i in (0, 1, 3)},
        **{(f"Person {i}", "Rome"): 2 for i in range(3)},
    }


def test_a_fact_alone_is_asked_for_other_answers_as_often_as_they_are_given():
    pool = [replace(FACT, case_id=i, subject=f"Person {i}", target_true=one) for i, one in enumerate("AAABC")]
    wrong = with_wrong_answers([FACT], [FACT, *pool], seed=0, least=10)
    assert {one.target_true: count for one, count in wrong.items()} == {"A": 6, "B": 2, "C": 2}
    assert {one.subject for one in wrong} == {FACT.subject}


GUESSERS = {
    "any object": lambda draw, objects: draw.choice(objects),
    "one object": lambda _draw, objects: objects[0],
    "two objects": lambda draw, objects: draw.choice(sorted(set(objects))[:2]),
}


@pytest.mark.parametrize("shares", [(1,) * 4, (7, 2, 1), (1, 1), (1,) * 20])
@pytest.mark.parametrize("guesser", GUESSERS)
def test_who_guesses_is_at_chance_and_seldom_accused(shares, guesser):
    """400 guessers that say of each subject an object of its relation, however they come by it, and however unevenly
    the objects are true: on average within three points of what they get of wrong answers. One attack of ten would
    accuse one of them in a thousand; allowed is one in fifty, for the right and the wrong guesses of one hang together.
    """
    objects = [f"Object {i}" for i, share in enumerate(shares) for _ in range(share)]
    excess, accused = [], 0
    for seed in range(400):
        draw = random.Random(seed)
        facts = [
            replace(FACT, case_id=i, subject=f"Person {i}", target_true=draw.choice(objects), relation_id=f"{i % 2}")
            for i in range(30)
        ]
        said = {one.subject: GUESSERS[guesser](draw, objects) for one in facts}
        wrong = with_wrong_answers(facts, facts, seed)
        got, untrue = ([said[one.subject] == one.target_true for one in some] for some in (facts, wrong))
        found = figure(got, [False] * 100, 0, untrue, list(wrong.values()))
        excess.append(found.recovered - (found.of_wrong or 0))
        accused += found.accuses(LEVEL / 10)
    assert abs(statistics.fmean(excess)) < 3
    assert accused <= 8


def test_a_wrong_answer_is_found_for_every_fact_but_never_what_edits_lead_to(audited):
    lone = replace(FACT, relation_id="alone", target_new=NEUTRAL)
    wrong = with_wrong_answers([*audited.facts, lone], [*audited.file, lone], 0, 7, never={NEUTRAL})
    assert sum(wrong.values()) == len(audited.facts) + 1
    assert [*wrong][-1].subject == lone.subject and [*wrong][-1].target_true in {
        one.target_true for one in audited.file
    }


def test_the_alternative_stands_in_where_the_relation_has_no_other_answer(audited):
    fact = replace(audited.facts[0], target_new="Elsewhere")
    assert {one.target_true for one in with_wrong_answers([fact], [fact], seed=0, least=3)} == {"Elsewhere"}
    for untrue in (None, fact.target_true):
        assert with_wrong_answers([replace(fact, target_new=untrue)], [fact], seed=0) == {}
