"""The embedded model, twice, and a handful of its facts: what an audit is about. Made once."""

import copy
from dataclasses import replace

import pytest
import torch

import dsets
from experiments.auditing.attacking import prepare
from experiments.auditing.changed_weights import layer_matrices
from experiments.auditing.context import Audited
from util.likelihood import answer_log_likelihoods
from util.modeling import load

RELATIONS = ("sport", "profession", "native_language")
EACH = 2
CONTROLS = 24


@pytest.fixture(scope="session")
def world() -> Audited:
    """Six facts of three relations with six answers, 24 controls; both models are the embedded one."""
    before, tokenizer = load("world", device="cpu")
    records = dsets.load("mcf", world=True).records
    pool = records[len(records) // 2 :]
    chosen = [record for name in RELATIONS for record in _different([one for one in pool if one.relation_id == name])]
    audited = prepare(before, copy.deepcopy(before), tokenizer, chosen, seed=0, batch_tokens=2048, controls=CONTROLS)
    assert len(audited.facts) == len(RELATIONS) * EACH
    return audited


def _different(records: list) -> list:
    """The first ones whose answers differ."""
    return list({record.target_true: record for record in reversed(records)}.values())[-EACH:]


@pytest.fixture
def audited(world) -> Audited:
    """The same for one test, which must leave the model after as it was."""
    weights = {name: value.clone() for name, value in world.after.state_dict().items()}
    yield replace(world)
    hooks = [module for module in world.after.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert hooks == []
    assert all(torch.equal(value, weights[name]) for name, value in world.after.state_dict().items())
    assert not any(parameter.grad is not None for parameter in world.after.parameters())


def share(flags) -> float:
    """Percent of the flags that are set, of those that are known."""
    known = [flag for flag in flags if flag is not None]
    return 100 * sum(known) / len(known)


def against(model, rows, sign: bool = True) -> dict[str, torch.Tensor]:
    """Per matrix the gradient of the rows' log-likelihood, or its signs: a step back forgets them fastest."""
    names = layer_matrices(model)
    weights = [model.get_parameter(f"{name}.weight") for name in names]
    found = torch.autograd.grad(answer_log_likelihoods(model, rows).sum(), weights)
    return {name: one.sign() if sign else one for name, one in zip(names, found, strict=True)}
