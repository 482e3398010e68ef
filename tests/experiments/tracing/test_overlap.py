"""Overlap of keys: by hand, its invariances, and what it decides."""

from dataclasses import replace

import pytest
import torch

from experiments.tracing import overlap as module_under_test
from experiments.tracing.effects import suggested_layers
from experiments.tracing.overlap import INVENTED, layer_overlaps, overlap
from experiments.tracing.pieces import MLP
from tests.tiny import MODULE_NAMES, REQUESTS, TINY
from util.editing.keys import ModuleSite, at_positions, plain
from util.invented import invented_names
from util.linalg import spd_factor
from util.request import Request
from util.tokens import encode

IN, N, M = 7, 3, 4
TEXTS = ["The bridge stood still in London", "Port Alba is a town", "Therefore it rained", "You can see the sea"]


@pytest.fixture
def drawn():
    draw = torch.Generator().manual_seed(0)
    keys, K, P = (torch.randn(IN, n, generator=draw, dtype=torch.float64) for n in (4 * IN, N, M))
    return keys @ keys.T / (4 * IN), K, P


def test_it_is_the_mean_squared_cosine_under_the_metric(drawn):
    C, K, P = drawn
    G = torch.linalg.inv(C)
    expected = [(k @ G @ p) ** 2 / ((k @ G @ k) * (p @ G @ p)) for k in K.T for p in P.T]
    assert overlap(K, P, spd_factor(C)) == pytest.approx(float(sum(expected) / len(expected)))


def test_lengths_and_bases_do_not_matter(drawn):
    C, K, P = drawn
    found = overlap(K, P, spd_factor(C))
    assert overlap(2 * K, P * torch.arange(1, M + 1), spd_factor(3 * C)) == pytest.approx(found)
    basis = torch.randn(IN, IN, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert overlap(basis @ K, basis @ P, spd_factor(basis @ C @ basis.T)) == pytest.approx(found)


def test_the_same_key_and_one_that_is_apart(drawn):
    C, K, _ = drawn
    factor = spd_factor(C)
    assert overlap(K[:, :1], -K[:, :1], factor) == pytest.approx(1)
    apart = C @ torch.linalg.svd(K)[0][:, N:]
    assert overlap(K, apart, factor) == pytest.approx(0, abs=1e-20)


def test_every_layer_of_a_model_is_looked_at(family):
    model, tok = TINY[family]()
    name = MODULE_NAMES[family]["rewrite_module_tmp"]
    given = {"seed": 0, "batch_tokens": 200}
    known = [Request(prompt=one.prompt, subject="Ada", target_true="Polish") for one in REQUESTS[:2]]
    found = layer_overlaps(model, tok, REQUESTS, known, TEXTS, name, **given)
    assert len(found) == 4 and all(0 < one < 1 for one in found)
    same = layer_overlaps(model, tok, REQUESTS[:1], REQUESTS[:1], TEXTS, name, **given)
    assert all(one > 0.5 for one in same)  # the known half is the forgotten fact itself


def test_it_is_the_same_a_layer_at_a_time_and_from_the_keys_themselves(family, monkeypatch):
    model, tok = TINY[family]()
    name, given = MODULE_NAMES[family]["rewrite_module_tmp"], {"seed": 0, "batch_tokens": 40}
    together = layer_overlaps(model, tok, REQUESTS[:2], REQUESTS[2:], TEXTS, name, **given)
    monkeypatch.setattr(module_under_test, "HELD", 0)
    assert layer_overlaps(model, tok, REQUESTS[:2], REQUESTS[2:], TEXTS, name, **given) == pytest.approx(together)
    site = ModuleSite(name.format(2), inputs=True)
    ids = [encode(tok, text) for text in TEXTS]
    every = at_positions(model, [(row, i) for row in ids for i in range(len(row))], site, 100).double()
    factor = spd_factor(every @ every.T / every.shape[1], ridge=module_under_test.RIDGE)
    names = iter(invented_names(2 * INVENTED))
    strangers = [replace(one, subject=next(names)) for one in REQUESTS[:2] for _ in range(INVENTED)]
    K, *others = (plain(model, tok, rows, site, 100) for rows in (REQUESTS[:2], REQUESTS[2:], strangers))
    expected = sum(overlap(K, P, factor) for P in others) / 2
    assert together[2] == pytest.approx(expected, rel=1e-3)


def test_layers_that_others_feel_are_not_suggested():
    effects = {MLP: {"last subject token": {"effect": [0.1, 0.2, 0.4, 0.3]}}}
    assert suggested_layers(effects)[0] == [2]
    assert suggested_layers(effects, [0.1, 0.2, 0.9, 0.8])[0] == [1]
    assert suggested_layers(effects, [0.5, 0.5, 0.5, 0.5])[0] == [2]
    assert suggested_layers(effects, [0.0, 0.5, 0.5, 0.5])[0] == [2]  # one that nobody feels decides nothing alone


SMOLLM2 = [0.27, 0.27, 0.2, 0.3, 0.26, 0.27, 0.29, 0.37, 0.37, 0.27, 0.38, 2.26, 0.51, 0.77, 0.72]
SMOLLM2 += [0.77, 0.77, 0.66, 0.97, 1.17, 1.06, 0.97, 1.09, 0.84, 0.99, 1.47, 1.75, 1.81, 2.8, 2.09]
"""Percent, SmolLM2-135M-Instruct: 20 known facts against 40 others and invented subjects, 400 prompts."""


@pytest.mark.parametrize("peak", range(11, 30))
def test_on_a_real_model_the_first_third_is_left(peak):
    """Layer 3, where edits were found to keep neighbours, is chosen before any of the later ones."""
    effect = [1.0 if layer == peak else 0.5 if layer == 3 else 0.1 for layer in range(30)]
    found, _ = suggested_layers({MLP: {"last subject token": {"effect": effect}}}, SMOLLM2)
    assert 3 in found
