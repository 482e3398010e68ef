import pytest

from experiments.measuring.metrics import (
    accuracy,
    accuracy_of_groups,
    answers_question,
    constant_answer,
    mean_and_deviation,
    normalise,
    percent,
    success,
)

HALF, WHOLE, NONE = (True, False), (True, True), (False, False)


@pytest.mark.parametrize(("metric", "expected"), [("counterfact", 100 / 3), ("zsre", 50.0), ("mquake", 50.0)])
def test_accuracy(metric, expected):
    assert accuracy([HALF, WHOLE, NONE], metric) == pytest.approx(expected)


@pytest.mark.parametrize(("metric", "expected"), [("counterfact", 25.0), ("zsre", 50.0)])
def test_groups_are_averaged_first(metric, expected):
    """Two prompts of one fact weigh as much as one prompt of another; a fact without prompts does not count."""
    assert accuracy_of_groups([[HALF, WHOLE], [NONE, HALF], []], metric) == pytest.approx(expected)


def test_nothing_to_measure_is_none_not_zero():
    assert accuracy([], "zsre") is None
    assert accuracy_of_groups([[], []], "counterfact") is None
    assert percent([]) is None
    assert success([]) == {"success": None, "difference": None}
    assert mean_and_deviation([None, None]) is None


def test_success_and_difference():
    found = success([(0.1, 0.4), (0.5, 0.2), (0.3, 0.3)])
    assert found["success"] == pytest.approx(100 / 3)
    assert found["difference"] == pytest.approx(0.0)


def test_population_deviation():
    assert mean_and_deviation([1.0, 3.0, None]) == (2.0, 1.0)
    assert mean_and_deviation([5.0]) == (5.0, 0.0)


@pytest.mark.parametrize(
    ("generated", "answers", "expected"),
    [
        (" Port Alba.", ["Port Alba"], True),
        ("It is the port, alba!", ["Port Alba"], True),
        ("Portland", ["Port"], False),
        ("Albany\nPort Alba", ["Port Alba"], False),
        ("", ["Port Alba"], False),
        ("anything", ["", "..."], False),
        ("Łódź", ["łódź"], True),
        ("Nobody told us who it was.", ["United States of America", "US"], False),
        ("It is unknown.", ["IT"], False),
        ("in the us.", ["U.S."], False),
        ("the US, of course", ["United States of America", "US"], True),
        ("the U.S. of A.", ["U.S."], True),
        ("The UK", ["the UK"], True),
        ("It told us.", ["the US"], False),
        ("at nasa", ["NASA"], True),
        ("in peru", ["Peru"], True),
        ("A", ["A"], False),
    ],
)
def test_multi_hop_answers(generated, answers, expected):
    assert answers_question(generated, answers) is expected


def test_normalise():
    assert normalise("The  U.S.A. (an old name)") == "u s old name"
    assert normalise("The  US (an Old name)", fold=False) == "US Old name"


def test_constant_answer():
    facts = [
        ("capital", "Paris"),
        ("capital", "Paris"),
        ("capital", "Rome"),
        ("tongue", "b"),
        ("tongue", "a"),
        ("x", "y"),
    ]
    assert constant_answer(facts, facts) == pytest.approx(100 * 3 / 6)  # Paris twice, a; x has one fact only
    assert constant_answer(facts, [("capital", "Rome"), ("tongue", "a")]) == 50
    assert constant_answer([("x", "y"), ("z", "y")], [("x", "y")]) is None
