"""Training the embedded model: the seed decides, an interrupted run goes on, and says how far it is."""

import logging

import pytest
import torch

from experiments.pretraining.batches import epoch_batches
from experiments.pretraining.model import new_model
from experiments.pretraining.pretrain_settings import PretrainSettings
from experiments.pretraining.training import loss_of, rate, train
from tests.experiments.pretraining.tiny_run import CPU, TINY
from util.errors import UserError


def same(first, second):
    return all(torch.equal(weight, second.state_dict()[name]) for name, weight in first.state_dict().items())


def test_resumed_equals_uninterrupted(known, tokenizer, tmp_path):
    whole, _ = train(TINY, tokenizer, known, tmp_path / "whole.safetensors", CPU)
    for stop in (2, 3, None):
        parts, _ = train(TINY, tokenizer, known, tmp_path / "parts.safetensors", CPU, stop_after=stop)
        assert same(parts, whole) == (stop is None)


def test_interrupted_between_saves_goes_back_to_the_last(known, tokenizer, tmp_path, monkeypatch):
    whole, _ = train(TINY, tokenizer, known, tmp_path / "whole.safetensors", CPU)
    calls = []

    def interrupted(*arguments):
        calls.append(None)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss_of(*arguments)

    monkeypatch.setattr("experiments.pretraining.training.loss_of", interrupted)
    state = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(TINY, tokenizer, known, state, CPU, save_every=3)
    assert same(train(TINY, tokenizer, known, state, CPU, save_every=3)[0], whole)
    assert len(calls) == 5 + 3


def test_state_of_other_settings_is_refused(known, tokenizer, tmp_path):
    state = tmp_path / "state.safetensors"
    train(TINY, tokenizer, known, state, CPU, stop_after=1)
    other = PretrainSettings(**(vars(TINY) | {"matrix_lr": 0.01}))
    with pytest.raises(UserError, match=r"state\.safetensors is from a run with other settings"):
        train(other, tokenizer, known, state, CPU)


def test_seed_decides_weights_and_batches(known, tokenizer):
    other = PretrainSettings(**(vars(TINY) | {"seed": 1}))
    state = torch.random.get_rng_state()
    assert same(new_model(TINY, 500), new_model(TINY, 500))
    assert not same(new_model(TINY, 500), new_model(other, 500))
    assert torch.equal(state, torch.random.get_rng_state())
    assert epoch_batches(TINY, tokenizer, known, 0) == epoch_batches(TINY, tokenizer, known, 0)
    assert epoch_batches(TINY, tokenizer, known, 0) != epoch_batches(TINY, tokenizer, known, 1)
    assert epoch_batches(TINY, tokenizer, known, 0) != epoch_batches(other, tokenizer, known, 0)


def test_training_lowers_the_loss(known, tokenizer, tmp_path):
    settings = PretrainSettings(**(vars(TINY) | {"steps": 40}))
    [batch, *_] = epoch_batches(settings, tokenizer, known, 0)
    before = loss_of(new_model(settings, len(tokenizer)), batch, 2, CPU).item()
    model, seconds = train(settings, tokenizer, known, tmp_path / "state.safetensors", CPU)
    assert loss_of(model, batch, 2, CPU).item() < 0.85 * before
    assert seconds > 0


def test_rate_is_constant_then_falls_to_zero():
    settings = PretrainSettings(steps=10, constant=0.4)
    assert [rate(step, settings) for step in range(5)] == [1.0] * 5
    assert rate(7, settings) == pytest.approx(0.5) and rate(10, settings) == 0.0
    always = PretrainSettings(steps=10, constant=1.0)
    assert [rate(step, always) for step in range(11)] == [1.0] * 11


def test_says_how_far_it_is_where_no_bar_is_drawn(known, tokenizer, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(TINY, tokenizer, known, tmp_path / "state.safetensors", CPU, save_every=4)
    said = [line for line in caplog.messages if line.startswith("training:")]
    assert ["step 4 of 6 saved" in said[0], "step 6 of 6 saved, about 0 min left" in said[1]] == [True, True]
