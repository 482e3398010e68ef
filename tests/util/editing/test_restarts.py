"""Passes that go on at any layer and position, against the whole ones."""

from dataclasses import replace

import pytest
import torch

from tests.families import build
from util.editing import restarts
from util.editing.restarts import goes_on, record
from util.editing.suffixes import from_fact
from util.tokens import pad

TEXTS = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [14, 15, 16, 17, 18]]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_a_pass_goes_on_to_what_the_whole_one_gives(family):
    model, _ = build(family)
    made = record(model, pad(TEXTS))
    assert made is not None and goes_on(model, made)
    text, position = torch.tensor([2, 0, 1, 2]), torch.tensor([0, 5, 1, 3])
    for layer in range(4):
        with torch.no_grad():
            found = made.suffixes(text, position, layer).final(model)
        right = from_fact(made.final_CTO[text], position, found.shape[1])
        for row, (one, start) in enumerate(zip(text.tolist(), position.tolist(), strict=True)):
            left = len(TEXTS[one]) - start
            torch.testing.assert_close(found[row, :left], right[row, :left], atol=1e-4, rtol=1e-4)


def test_a_pass_that_comes_to_something_else_is_told():
    model, _ = build("llama")
    made = record(model, pad(TEXTS))
    assert not goes_on(model, replace(made, final_CTO=made.final_CTO + 1))
    assert not goes_on(model, replace(made, states=[(keys, values + 1) for keys, values in made.states]))
    assert not goes_on(model, replace(made, entering={}))


def test_a_model_that_keeps_other_states_has_no_record(monkeypatch):
    model, _ = build("llama")
    monkeypatch.setattr(restarts, "keeps_keys_and_values", lambda model: False)
    assert record(model, pad(TEXTS)) is None
