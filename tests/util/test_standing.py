"""Probability and rank of answers against the model's own logits."""

import math

import pytest
import torch

from experiments.measuring.scoring import score
from tests.tiny import TINY
from util import likelihood, standing
from util.likelihood import answered
from util.standing import Standing, standings

QUESTIONS = [
    ("Ada Lovelace was born in", "London", None),
    ("The mother tongue of Łukasz Żółć is", "Polish", None),
    ("J. van Dyke plays", "the violin", None),
]


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("at_once", [likelihood.LOGITS_AT_ONCE, 500])
def test_standing_is_that_of_the_model_itself(family, at_once, monkeypatch):
    monkeypatch.setattr(standing, "LOGITS_AT_ONCE", at_once)
    model, tokenizer = TINY[family]()
    found = standings(model, tokenizer, QUESTIONS * 2, batch_tokens=40)
    assert list(found) == QUESTIONS
    scores = score(model, tokenizer, QUESTIONS, batch_tokens=1000)
    for question, one in found.items():
        assert one.probability == pytest.approx(scores[question].probability, rel=1e-4)
        pair = answered(tokenizer, *question)
        logits = model(torch.tensor([pair.ids])).logits[0]
        order = logits[len(pair.prompt) - 1 :].argsort(-1, descending=True)
        ranks = [1 + row.tolist().index(token) for row, token in zip(order, pair.answer, strict=True)]
        assert one.rank == max(ranks)
        assert one.said == all(scores[question].correct)


def test_broken_numbers_are_no_answer():
    broken = Standing(math.nan, 1)
    assert not broken.finite and not broken.said
    assert Standing(0.5, 1).said and not Standing(0.5, 2).said
