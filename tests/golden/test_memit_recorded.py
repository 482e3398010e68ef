"""MEMIT against the recorded run: targets, keys, hidden states, then the weights."""

import pytest
import torch

from baselines.memit import HParams, apply_to_model
from tests.golden.recorded import arrays, model_and_tokenizer, needs_recording, read, requests, weight_errors
from util.editing import layers as layers_module

pytestmark = needs_recording


@pytest.fixture(scope="module")
def run():
    """(model, hparams, recorded arrays, before, problems seen by the solve, edits)."""
    model, tok = model_and_tokenizer()
    raw = read("MEMIT_cf.json")
    hparams = HParams(**{key: value for key, value in raw.items() if key in HParams.model_fields})
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    problems, real = [], layers_module._problem
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layers_module, "_problem", lambda *args: problems.append(real(*args)) or problems[-1])
        edits = apply_to_model(
            model,
            tok,
            requests(),
            hparams,
            moments=arrays("second_moments.npz"),
            context_templates=read("context_templates.json"),
        )
    return model, hparams, arrays("MEMIT_cf.npz"), before, problems, edits


def close(found, recorded, tolerance):
    return float((found - recorded).norm() / recorded.norm()) < tolerance


def test_weight_changes(run):
    model, _, recorded, before, _, _ = run
    errors = weight_errors(model, before, recorded)
    assert len(errors) == 3 and max(errors.values()) < 5e-3


def test_every_layers_intermediates(run):
    _, hparams, recorded, _, problems, _ = run
    for layer, problem in zip(hparams.layers, problems, strict=True):
        left = len(hparams.layers) - hparams.layers.index(layer)
        assert close(problem.K_IN, recorded[f"K:{layer}"], 1e-4)
        assert close(problem.R_ON * left + recorded[f"H:{layer}"], recorded["z"], 1e-4)


def test_undo(run):
    model, _, _, before, _, edits = run
    edits.undo(model)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
