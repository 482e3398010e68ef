"""States inside the model: what a changed end hides is read there; what was never read in is not."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.auditing.attacks.depth import CONTROLS, depth, depth_score, of_others
from experiments.auditing.attacks.lens import lens
from experiments.auditing.attacks.probe import linear_probe, logistic_regression
from experiments.auditing.context import NotPossible
from experiments.auditing.states import said_by_head, states_after_layers
from tests.experiments.auditing.conftest import share
from tests.experiments.auditing.fakes import filtering, masked_answers, never_knew, patched_last_layer, refusing
from util.tokens import encode


def inside(audited, fake):
    return fake(audited.after, audited.tokenizer, audited.facts)


@pytest.mark.parametrize("fake", [masked_answers, refusing], ids=["masked", "refusing"])
@pytest.mark.parametrize("attack", [lens, linear_probe, depth])
def test_what_is_hidden_behind_the_last_layer_is_read(audited, attack, fake):
    with inside(audited, fake):
        assert share(attack(audited).facts) == 100


def test_the_lens_reads_below_a_patched_last_layer(audited):
    with inside(audited, patched_last_layer):
        got = lens(audited)
    assert share(got.facts) == 100
    assert got.details["by_layer"]["after"][-1] == 0 < got.details["by_layer"]["before"][-1] == 100


@pytest.mark.parametrize("attack", [lens, depth])
def test_a_text_that_was_not_read_left_nothing_inside(audited, attack):
    with inside(audited, filtering):
        assert share(attack(audited).facts) == 0


def test_a_probe_reads_nothing_of_a_subject_that_was_never_met(audited):
    with inside(audited, never_knew):
        got = linear_probe(audited)
    assert share(got.facts) <= share(got.controls) + 20


def test_the_depth_of_a_model_that_knows_is_none_and_of_an_unread_text_whole(audited):
    assert depth(audited).details["depth"] == pytest.approx(0, abs=1e-3)
    with inside(audited, filtering):
        assert depth(audited).details["depth"] > 0.9


def test_the_depth_is_measured_against_the_oracle_where_there_is_one(audited):
    oracle = copy.deepcopy(audited.before)
    compared = replace(audited, oracle=oracle)
    with never_knew(oracle, audited.tokenizer, audited.facts):
        known = depth(compared)
        with inside(audited, never_knew):
            unknown = depth(compared)
    assert share(known.facts) == 100 and share(unknown.facts) == 0
    assert known.details["depth"] == pytest.approx(0, abs=1e-3)
    assert unknown.details["depth"] == pytest.approx(1)
    assert known.details["against"] == "oracle" and depth(audited).details["against"] == "stand-in"


def test_what_others_states_keep_right_is_chance(audited):
    """The controls are known subjects with other answers: the model knows them, and not this of them."""
    with inside(audited, masked_answers):
        got = depth(audited)
    assert len(got.controls) == CONTROLS * len(audited.facts)
    assert share(got.facts) == 100 and share(got.controls) < 50
    stand_ins, controls = of_others(audited)
    for some in [*stand_ins[1:], *controls]:
        for fact, other in zip(audited.facts, some, strict=True):
            assert (
                other.subject != fact.subject and other.prompt == fact.prompt and other.target_true == fact.target_true
            )
    for place in range(len(audited.facts)):
        names = [some[place].subject for some in [*stand_ins, *controls]]
        assert len(set(names)) == len(names)


def test_what_the_lens_reads_of_anybody_is_no_reading_of_a_fact(audited):
    """In the layers below, a prompt's end says its relation's most frequent answer whoever the subject is."""
    got = lens(audited)
    first = got.details["by_layer"]["controls"][0]
    assert first > 2 * share(got.controls), "most of what is read there is read of every stand-in"
    assert share(got.facts) == 100


def test_the_lens_at_the_last_layer_is_the_model_itself(audited):
    ids = tuple(encode(audited.tokenizer, audited.facts[0].text))
    (states,) = states_after_layers(audited.after, [ids], [range(len(ids))], 2048)
    with torch.no_grad():
        own = audited.after(input_ids=torch.tensor([ids])).logits[0].argmax(-1)
    assert said_by_head(audited.after, states, own.tolist())[-1].all()
    assert not said_by_head(audited.after, states, (own + 1).tolist())[-1].any()


def test_states_do_not_hang_on_the_batch(audited):
    rows = [tuple(encode(audited.tokenizer, one.text)) for one in audited.facts]
    last = [[len(row) - 1] for row in rows]
    together = states_after_layers(audited.after, rows, last, 2048)
    alone = [states_after_layers(audited.after, [row], [place], 1)[0] for row, place in zip(rows, last)]
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(together, alone))


def test_the_score_is_the_weighted_share_of_what_is_lost():
    d1 = torch.tensor([[2.0, 1.0, 0.01], [1.0, 1.0, 1.0], [0.0, 0.01, -1.0]])
    d2 = torch.tensor([[1.0, 5.0, 9.0], [-3.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    score = depth_score(d1, d2)
    assert score[:2].tolist() == pytest.approx([(2 * 0.5 + 1 * 1) / 3, 1 / 3])
    assert score[2].isnan()


def test_logistic_regression_is_at_its_optimum_and_separates():
    draw = np.random.default_rng(0)
    labels = np.arange(30) % 3
    X = draw.normal(size=(30, 7)) + 3 * np.eye(3, 7)[labels]
    W, b = logistic_regression(X, labels, 3)
    logits = X @ W.T + b
    assert (logits.argmax(1) == labels).all()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = (p - np.eye(3)[labels]) / 30
    assert np.abs(error.T @ X + 0.01 * W).max() < 1e-4
    assert np.abs(error.sum(0)).max() < 1e-4


def test_a_probe_needs_something_to_learn_from(audited):
    bare = tuple(replace(one, neighborhood=()) for one in audited.facts)
    with pytest.raises(NotPossible, match="neighbouring prompts"):
        linear_probe(replace(audited, file=bare))
