"""ZeroUnlearn against the recorded run: every intermediate, then the weights."""

import pytest
import torch

from tests.golden.recorded import arrays, model_and_tokenizer, needs_recording, read, requests, weight_errors
from util.editing import layers as layers_module
from util.editing.keys import ModuleSite, plain
from util.editing.targets import find_targets
from zerounlearn import HParams, apply_to_model

pytestmark = needs_recording


@pytest.fixture(scope="module")
def run():
    """(model, tokenizer, hparams, recorded arrays, before, problems seen by the solve)."""
    model, tok = model_and_tokenizer()
    raw = read("ZeroUnlearn_cf.json")
    known = {key: value for key, value in raw.items() if key in HParams.model_fields}
    hparams = HParams(**known, epsilon=0.01, projector="published", solver="woodbury")
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
    return model, tok, hparams, arrays("ZeroUnlearn_cf.npz"), before, problems, edits


def close(found, recorded, tolerance):
    return float((found - recorded).norm() / recorded.norm()) < tolerance


def test_weight_changes(run):
    model, _, _, recorded, before, _, _ = run
    errors = weight_errors(model, before, recorded)
    assert len(errors) == 3 and max(errors.values()) < 1e-3


def test_every_layers_intermediates(run):
    _, _, hparams, recorded, _, problems, _ = run
    for layer, problem in zip(hparams.layers, problems, strict=True):
        left = len(hparams.layers) - hparams.layers.index(layer)
        assert close(problem.K_IN, recorded[f"K:{layer}"], 1e-4)
        assert close(problem.U_ON, recorded[f"U:{layer}"], 1e-4)
        assert close(problem.R_ON * left + recorded[f"H:{layer}"], recorded["z"], 1e-4)


def test_targets_and_undo(run):
    model, tok, hparams, recorded, before, _, edits = run
    edits.undo(model)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    found = find_targets(
        model,
        tok,
        requests(),
        [request.target_new for request in requests()],
        hparams.layers[-1],
        "layer",
        hparams,
        read("context_templates.json"),
        batch_tokens=4096,
    )
    assert close(found.values_ON, recorded["z"], 1e-5)
    first = plain(model, tok, requests(), ModuleSite(hparams.layer_module_tmp.format(hparams.layers[-1])), 4096)
    assert close(first, recorded[f"H:{hparams.layers[0]}"], 1e-5)
