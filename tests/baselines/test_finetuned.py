"""What FT, GA and NPO do on a model beyond the contract that all methods share."""

import math

import pytest
import torch

from baselines import ft, ga, npo
from baselines.npo.solve import preference_loss
from tests.tiny import MODULE_NAMES, REQUESTS, TINY
from util.editing.finetuning import answer_rows, scores
from util.errors import UserError
from util.request import Request
from util.weights import weights_hash

PACKAGES = {"FT": ft, "GA": ga, "NPO": npo}
SHARED = {"layers": [1], "lr": 1e-2, "num_steps": 20, "batch_size": 2, "norm_constraint": None}
OWN = {"FT": {"stop_below": 0.01}, "GA": {"stop_above": None}, "NPO": {"beta": 0.1, "retain_weight": 1.0}}
RETAIN = [
    Request(case_id=7, prompt="The capital of {} is", subject="Northland", target_true="Port Alba"),
    Request(case_id=8, prompt="{} stood still in", subject="The bridge", target_true="London"),
]


def settings(method, family, **changes):
    names = {"rewrite_module_tmp": MODULE_NAMES[family]["rewrite_module_tmp"]}
    return PACKAGES[method].HParams(**SHARED | OWN[method] | names | changes)


def forget(method, model, tok, hparams, **options):
    options = {"retain_requests": RETAIN} | options
    return PACKAGES[method].apply_to_model(model, tok, REQUESTS, hparams, **options)


def nll(model, tok, answers, requests=REQUESTS):
    """Per-fact mean NLL of an answer's tokens."""
    rows = answer_rows(tok, requests, answers)
    return -scores(model, rows, 10_000) / torch.tensor([len(row.answer) for row in rows])


def true_nll(model, tok, requests=REQUESTS):
    return nll(model, tok, [request.target_true for request in requests], requests)


def test_ft_teaches_the_neutral_target_and_stops(family):
    model, tok = TINY[family]()
    before = nll(model, tok, ["<EOS>"] * 3)
    edits = forget("FT", model, tok, settings("FT", family, num_steps=200, stop_below=1.0))
    assert before.min() > 4 and nll(model, tok, ["<EOS>"] * 3).max() < 1.5
    assert edits.diagnostics["stopped"] == "enough" and edits.diagnostics["nll"][-1] < 1.0


def test_ga_climbs_and_stays_finite(family):
    model, tok = TINY[family]()
    before = true_nll(model, tok)
    edits = forget("GA", model, tok, settings("GA", family, lr=1.0, num_steps=100))
    after = true_nll(model, tok)
    assert after.isfinite().all() and (after > before + 3).all()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert all(math.isfinite(value) for value in edits.diagnostics["nll"])


def test_ga_stops_where_it_is_told(family):
    model, tok = TINY[family]()
    limit = float(true_nll(model, tok).mean()) + 3
    free = forget("GA", model, tok, settings("GA", family, num_steps=60))
    assert free.diagnostics["stopped"] == "num_steps" and len(free.diagnostics["nll"]) == 60
    free.undo(model)
    edits = forget("GA", model, tok, settings("GA", family, num_steps=60, stop_above=limit))
    assert edits.diagnostics["stopped"] == "enough" and len(edits.diagnostics["nll"]) < 60


def test_npo_forgets_and_retains(family):
    model, tok = TINY[family]()
    forgotten, kept = true_nll(model, tok), true_nll(model, tok, RETAIN)
    after = []
    for weight in (0.0, 2.0):
        edits = forget("NPO", model, tok, settings("NPO", family, retain_weight=weight))
        assert true_nll(model, tok).mean() > forgotten.mean() + 1
        after.append(true_nll(model, tok, RETAIN).mean())
        edits.undo(model)
    assert after[1] < after[0] and after[1] < kept.mean()


def test_npos_loss_is_the_published_one():
    """(2/β) softplus(β (log p_θ − log p_0)) is −(2/β) log σ(−β log ratio); at the start (2/β) log 2."""
    before, beta = torch.tensor([-3.0, -0.5]), 0.3
    torch.testing.assert_close(preference_loss(before, before, beta), torch.full((2,), 2 / beta * math.log(2)))
    now = before + torch.tensor([-1.5, 4.0])
    expected = -2 / beta * torch.log(torch.sigmoid(-beta * (now - before)))
    torch.testing.assert_close(preference_loss(now, before, beta), expected)


def test_npo_with_a_small_beta_starts_as_gradient_ascent():
    """As β → 0 the gradient of the preference term is that of the summed log likelihood."""
    before = torch.tensor([-3.0, -0.5, -8.0])
    log_p = before.clone().requires_grad_(True)
    loss = preference_loss(log_p, before, 1e-3).sum()
    torch.testing.assert_close(torch.autograd.grad(loss, log_p)[0], torch.ones(3), atol=1e-3, rtol=1e-3)


def test_npo_asks_for_retain_requests(family):
    model, tok = TINY[family]()
    before = weights_hash(model)
    with pytest.raises(UserError, match="retain_requests"):
        forget("NPO", model, tok, settings("NPO", family), retain_requests=())
    assert weights_hash(model) == before
    forget("NPO", model, tok, settings("NPO", family, retain_weight=0.0), retain_requests=())
    assert weights_hash(model) != before
