"""Figures and verdicts from flags alone."""

import pytest

from experiments.auditing.verdict import (
    FORGOTTEN,
    HIDDEN,
    LEVEL,
    STILL_THERE,
    accusing,
    as_many_by_chance,
    figure,
    verdict,
    worst,
)

ALL, NONE, CONTROLS = [True] * 20, [False] * 20, [False] * 100


def test_a_figure_says_share_interval_chance_and_count():
    one = figure([True, True, False, None], [True, False, False, False, None], seed=0)
    assert (one.recovered, one.chance, one.n) == (pytest.approx(200 / 3), 25, 3)
    assert one.interval[0] <= one.recovered <= one.interval[1]
    assert one.row()["n"] == 3


def test_nothing_that_can_be_tried_is_no_figure():
    assert figure([None], [True], 0) is None
    assert figure([True], [None], 0) is None


def test_the_interval_is_seeded_and_narrows_with_the_facts():
    half = [True, False] * 10
    few, many = figure(half, CONTROLS, 1).interval, figure(half * 20, CONTROLS, 1).interval
    assert few == figure(half, CONTROLS, 1).interval
    assert figure(half, CONTROLS, -999_999_999).interval != figure(half, CONTROLS, 999_999_999).interval
    assert few[0] < many[0] < 50 < many[1] < few[1]
    assert figure(ALL, CONTROLS, 1).interval == (100, 100)


def test_chance_is_known_by_the_controls_only():
    assert as_many_by_chance(0, 5, 0, 100) == pytest.approx(1)
    assert as_many_by_chance(1, 1, 0, 100) == pytest.approx(1 / 102)
    assert as_many_by_chance(1, 1, 0, 4) == pytest.approx(1 / 6)
    assert as_many_by_chance(3, 3, 50, 100) > 0.1


def test_chance_is_the_greater_of_invented_subjects_and_wrong_answers():
    guessed = [True] * 10 + [False] * 40
    facts = [True] * 8 + [False] * 17
    of_nobody, both, of_wrong = (
        figure(facts, CONTROLS, 0),
        figure(facts, CONTROLS, 0, guessed),
        figure(facts, guessed, 0),
    )
    assert of_nobody.accuses(LEVEL) and not both.accuses(LEVEL) and not of_wrong.accuses(LEVEL)
    assert (both.of_nobody, both.of_wrong, both.chance) == (0, 20, 20)
    assert both.probability == of_wrong.probability > of_nobody.probability
    assert figure(facts, guessed, 0, NONE).chance == 20 and figure(facts, CONTROLS, 0, [None]).of_wrong is None
    assert both.row()["chance_of"] == {"controls": 0, "wrong_answers": 20}
    assert figure(ALL, CONTROLS, 0, [False] * 30).accuses(LEVEL)


def test_a_single_fact_that_comes_back_accuses_and_one_of_many_by_chance_does_not():
    assert figure([True], CONTROLS, 0).accuses(LEVEL)
    assert not figure([True], [True] * 25 + [False] * 75, 0).accuses(LEVEL)
    assert not figure([True] * 6 + [False] * 14, [True] * 25 + [False] * 75, 0).accuses(LEVEL)
    assert figure([True] * 18 + [False] * 2, [True] * 25 + [False] * 75, 0).accuses(LEVEL)


@pytest.mark.parametrize(
    ("prompt", "lens", "said"), [(ALL, NONE, STILL_THERE), (NONE, ALL, HIDDEN), (NONE, NONE, FORGOTTEN)]
)
def test_the_verdict_is_the_prompt_s_or_any_attack_s(prompt, lens, said):
    figures = {"prompt": figure(prompt, CONTROLS, 0), "lens": figure(lens, CONTROLS, 0)}
    assert verdict(accusing(figures, False)[0], "prompt") == said


def test_an_attack_of_many_has_to_be_surer_but_not_of_few_facts():
    """Seven facts of fifty where wrong answers get five of two hundred accuse alone, and would by accident in one of
    a few hundred audits; among twenty attacks that is one in some ten."""
    lucky = figure([True] * 7 + [False] * 43, CONTROLS, 0, [True] * 5 + [False] * 195)
    assert 0.001 < lucky.probability < 0.01
    assert accusing({"a": lucky}, few=False) == (["a"], LEVEL)
    many = {str(i): lucky for i in range(20)}
    assert accusing(many, few=False) == ([], LEVEL / 20)
    assert accusing(many, few=True) == (list(many), LEVEL)


def test_wrong_answers_weigh_by_how_often_they_count():
    """One that counts 99 times out of a hundred says no more than one does."""
    one = figure(ALL, CONTROLS, 0, [True, False], [99, 1])
    assert one.of_wrong == 99
    assert figure(ALL, CONTROLS, 0, [False, True], [99, 1]).of_wrong == 1
    uneven, even = (figure(ALL, CONTROLS, 0, [False] * len(some), some) for some in ([99, 1], [50] * 20))
    assert uneven.probability == pytest.approx(as_many_by_chance(20, 20, 0, 100**2 / (99**2 + 1)))
    assert even.probability == pytest.approx(as_many_by_chance(20, 20, 0, 20)) and uneven.probability > 1e-3
    assert figure(ALL, CONTROLS, 0, [None, False], [99, 1]).of_wrong == 0


def test_of_few_facts_both_kinds_of_controls_count_together():
    apart, together = (figure([True], CONTROLS, 0, [False] * 9, few=few) for few in (False, True))
    assert apart.probability == pytest.approx(1 / 11) and not apart.accuses(LEVEL)
    assert together.probability == pytest.approx(1 / 111) and together.accuses(LEVEL)
    assert not figure([True], CONTROLS, 0, [True] + [False] * 8, few=True).accuses(LEVEL)
    assert together.of_wrong == 0 and together.of_nobody == 0


def test_the_worst_attack_is_the_one_with_most_over_chance():
    often = figure([True] * 19 + [False], [True] * 90 + [False] * 10, 0)
    rare = figure([True] * 10 + [False] * 10, CONTROLS, 0)
    assert worst({"choice": often, "lens": rare})[0] == "lens"
