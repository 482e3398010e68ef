from importlib import import_module

import pytest
import torch

from tests.tiny import MODULE_NAMES, REQUESTS, TARGET_SETTINGS, TEMPLATES, TINY, moments_for
from tests.util.editing.test_statistics import Corpus
from util.editing import setting as setting_module
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.linalg import null_space_projector
from util.request import Request
from util.weights import read_weight, weights_hash
from zerounlearn.gd import HParams, apply_to_model

OWN = {
    "nullspace_threshold": 0.5,
    "nullspace_relative": True,
    "sensitive_weight": 1,
    "target_weight": 100,
    "regularization_lam": 0.1,
    "solver": "adam",
    "gd_lr": 1e-3,
    "gd_steps": 20,
}


def settings(family, **changes):
    return HParams(**TARGET_SETTINGS | MODULE_NAMES[family] | OWN | changes)


def forget(model, tok, hparams, requests=REQUESTS, **options):
    options = {"context_templates": TEMPLATES, "moments": moments_for(model, hparams.rewrite_modules())} | options
    return apply_to_model(model, tok, requests, hparams, **options)


@pytest.mark.parametrize("solver", ["adam", "exact"])
def test_the_gap_between_the_solvers_is_reported(family, solver):
    model, tok = TINY[family]()
    hparams = settings(family, solver=solver)
    reached = forget(model, tok, hparams).diagnostics["objective"]
    assert list(reached) == hparams.rewrite_modules()
    for values in reached.values():
        assert set(values) == {"before", solver, "exact"}
        assert values["before"] > values[solver] >= values["exact"] > 0


def test_more_steps_come_closer(family):
    model, tok = TINY[family]()
    gaps = []
    for steps in (5, 400):
        edits = forget(model, tok, settings(family, layers=[1], gd_steps=steps, gd_lr=1e-2))
        (values,) = edits.diagnostics["objective"].values()
        gaps.append(values["adam"] / values["exact"] - 1)
        edits.undo(model)
    assert gaps[0] > 0.1 and gaps[1] < 0.1 * gaps[0]


@pytest.mark.parametrize("solver", ["adam", "exact"])
def test_the_change_lies_in_the_null_space(family, solver):
    model, tok = TINY[family]()
    hparams = settings(family, solver=solver)
    moments = moments_for(model, hparams.rewrite_modules())
    before = {name: read_weight(model, name).clone() for name in hparams.rewrite_modules()}
    forget(model, tok, hparams, moments=moments)
    for name, W in before.items():
        change = (read_weight(model, name) - W).double()
        projector = null_space_projector(moments[name], 0.5, relative=True)
        assert change.norm() > 1e-3 and (change @ projector - change).norm() < 1e-3 * change.norm()


def test_the_sensitive_directions_are_searched_on_the_model_as_edited_so_far(family, monkeypatch):
    model, tok = TINY[family]()
    calls, real = [], setting_module.find_targets

    def spy(model, tokenizer, requests, answers, layer, site, *rest, **options):
        calls.append((list(answers), layer, site, weights_hash(model)))
        return real(model, tokenizer, requests, answers, layer, site, *rest, **options)

    monkeypatch.setattr(setting_module, "find_targets", spy)
    forget(model, tok, settings(family))
    true = [request.target_true for request in REQUESTS]
    assert [call[:3] for call in calls] == [(["<EOS>"] * 3, 2, "layer"), (true, 1, "module"), (true, 2, "module")]
    assert calls[0][3] == calls[1][3] != calls[2][3]


def test_the_projector_is_kept_with_the_statistics(family, monkeypatch):
    edit_module = import_module("zerounlearn.gd.edit")

    model, tok = TINY[family]()
    hparams = settings(family)
    moments = CorpusMoments(model, tok, hparams.rewrite_modules(), Corpus(), dtype="float64", progress=False)
    built, real = [], edit_module.null_space_projector
    monkeypatch.setattr(edit_module, "null_space_projector", lambda *args: built.append(1) or real(*args))
    for _ in range(2):
        forget(model, tok, hparams, moments=moments).undo(model)
    assert len(built) == 2


def test_many_facts(family):
    """More facts than the module has inputs; nothing of that size is formed but N × N."""
    model, tok = TINY[family]()
    requests = [
        Request(case_id=i, prompt="{} was born in", subject=f"Ada {i}", target_true="London") for i in range(60)
    ]
    hparams = settings(family, layers=[1], v_num_grad_steps=2, solver="exact")
    (values,) = forget(model, tok, hparams, requests=requests).diagnostics["objective"].values()
    assert values["exact"] < values["before"]


def test_no_eigenvalue_at_the_threshold_is_an_error(family):
    model, tok = TINY[family]()
    before = weights_hash(model)
    with pytest.raises(UserError, match="nullspace_threshold"):
        forget(model, tok, settings(family, nullspace_threshold=1e-9))
    assert weights_hash(model) == before


def test_an_absolute_threshold_is_the_published_default(family):
    model, tok = TINY[family]()
    hparams = settings(family, layers=[1])
    moments = moments_for(model, hparams.rewrite_modules())
    limit = 0.5 * float(torch.linalg.eigvalsh(moments[hparams.rewrite_module(1)])[-1])
    results = []
    for changes in ({}, {"nullspace_relative": False, "nullspace_threshold": limit}):
        edits = forget(model, tok, settings(family, layers=[1], **changes), moments=moments)
        results.append(read_weight(model, hparams.rewrite_module(1)).clone())
        edits.undo(model)
    torch.testing.assert_close(*results)
