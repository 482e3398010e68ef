"""Every method's edit against the record of the plain form that travels with the repository."""

import pytest
import torch
from safetensors.torch import load_file

from tests.golden.plain import fingerprint, methods, model_and_tokenizer, moments, run
from tests.golden.record import RECORD
from tests.tiny import REQUESTS, TEMPLATES
from util.editing import layers as layers_module

METHODS = list(methods())


@pytest.fixture(scope="module")
def recorded():
    return load_file(RECORD)


def off(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_the_model_is_the_recorded_one(recorded):
    """Where this fails alone, a library draws other weights or tokens: the record says nothing, make it anew."""
    made = fingerprint()
    assert torch.equal(made["ids"], recorded["ids"])
    torch.testing.assert_close(made["sums"], recorded["sums"], rtol=1e-5, atol=1e-4)


@pytest.fixture(params=METHODS)
def edited(request, monkeypatch):
    """(name, model, its weights before, edits, problems that the solves saw)."""
    model, tokenizer = model_and_tokenizer()
    method, before = methods()[request.param], {key: value.clone() for key, value in model.state_dict().items()}
    problems, real = [], layers_module._problem
    monkeypatch.setattr(layers_module, "_problem", lambda *args: problems.append(real(*args)) or problems[-1])
    edits = method.apply_to_model(
        model, tokenizer, REQUESTS, method.hparams, moments=moments(model), context_templates=TEMPLATES
    )
    return request.param, model, before, edits, problems


def test_weight_changes(recorded, edited):
    name, model, before, edits, _ = edited
    prefix = f"{name}:change:"
    changes = {key.removeprefix(prefix): value for key, value in recorded.items() if key.startswith(prefix)}
    assert set(changes) == set(edits.original)
    for weight, change in changes.items():
        assert off(model.get_parameter(weight).detach() - before[weight], change) < 1e-3


def test_what_every_layer_sees(recorded, edited):
    name, _, _, _, problems = edited
    layers = methods()[name].hparams.layers
    assert len(problems) == (0 if name == "ROME" else len(layers))
    for done, problem in enumerate(problems):
        layer, left = layers[done], len(layers) - done
        assert off(problem.K_IN, recorded[f"{name}:K:{layer}"]) < 1e-4
        assert off(problem.R_ON * left + recorded[f"{name}:H:{layer}"], recorded[f"{name}:z"]) < 1e-4
        assert problem.U_ON is None or off(problem.U_ON, recorded[f"{name}:U:{layer}"]) < 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_the_plain_form_still_gives_the_record(recorded, name):
    for key, value in run(name).items():
        assert off(value, recorded[key]) < 1e-4
