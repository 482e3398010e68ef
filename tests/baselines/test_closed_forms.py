"""What ROME, MEMIT and AlphaEdit do on a model beyond the contract that all methods share."""

from importlib import import_module

import pytest
import torch

from baselines import alphaedit, memit, rome
from experiments.benchmarking.plain import find_target
from tests.tiny import MODULE_NAMES, REQUESTS, TARGET_SETTINGS, TEMPLATES, TINY, moments_for
from tests.util.editing.test_statistics import Corpus
from util.editing.keys import ModuleSite, plain
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.weights import read_weight, weights_hash

PACKAGES = {"ROME": rome, "MEMIT": memit, "AlphaEdit": alphaedit}
OWN = {
    "ROME": {"layers": [1], "mom2_adjustment": True},
    "MEMIT": {"mom2_update_weight": 5},
    "AlphaEdit": {"nullspace_threshold": 0.5, "nullspace_relative": True, "L2": 0.1},
}

ROME = import_module("baselines.rome.edit")


def settings(method, family, **changes):
    return PACKAGES[method].HParams(**TARGET_SETTINGS | MODULE_NAMES[family] | OWN[method] | changes)


def forget(method, model, tok, hparams, requests=REQUESTS, **options):
    options = {"context_templates": TEMPLATES, "moments": moments_for(model, hparams.rewrite_modules())} | options
    return PACKAGES[method].apply_to_model(model, tok, requests, hparams, **options)


@pytest.mark.parametrize("method", PACKAGES)
def test_factors_are_kept_with_the_statistics(method, family, monkeypatch):
    model, tok = TINY[family]()
    builder = "null_space_projector" if method == "AlphaEdit" else "spd_factor"
    module = import_module("baselines.alphaedit.edit" if method == "AlphaEdit" else "util.editing.setting")
    hparams = settings(method, family)
    moments = CorpusMoments(model, tok, hparams.rewrite_modules(), Corpus(), dtype="float64", progress=False)
    built, real = [], getattr(module, builder)
    ridged = {name: moments[name] + torch.eye(len(moments[name])) for name in moments}
    moments._moments |= ridged
    monkeypatch.setattr(module, builder, lambda *args, **options: built.append(1) or real(*args, **options))
    for _ in range(2):
        forget(method, model, tok, hparams, moments=moments).undo(model)
    assert len(built) == len(hparams.layers)


@pytest.mark.parametrize("method", PACKAGES)
def test_a_failure_half_way_leaves_the_model_as_it_was(method, family, monkeypatch):
    model, tok = TINY[family]()
    module = import_module(f"baselines.{method.lower()}.edit")
    before, calls, real = weights_hash(model), [], module.solve

    def breaks_at_the_second_call(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("half way")
        return real(*args, **options)

    monkeypatch.setattr(module, "solve", breaks_at_the_second_call)
    with pytest.raises(RuntimeError, match="half way"):
        forget(method, model, tok, settings(method, family))
    assert len(calls) == 2 and weights_hash(model) == before


@pytest.mark.parametrize("method", ["ROME", "MEMIT"])
def test_a_singular_moment_is_named(method, family):
    model, tok = TINY[family]()
    hparams = settings(method, family)
    zero = {name: 0 * C for name, C in moments_for(model, hparams.rewrite_modules()).items()}
    before = weights_hash(model)
    with pytest.raises(UserError, match="not positive definite.* mom2_ridge"):
        forget(method, model, tok, hparams, moments=zero)
    assert weights_hash(model) == before


@pytest.mark.parametrize("method", ["ROME", "MEMIT"])
def test_an_input_that_is_always_zero_is_helped_by_mom2_ridge(method, family):
    """More documents never help there. With next to no ridge the edit is that of the other inputs."""
    model, tok = TINY[family]()
    hparams = settings(method, family)
    moments = moments_for(model, hparams.rewrite_modules())
    for C in moments.values():
        C[3, :] = C[:, 3] = 0
    with pytest.raises(UserError, match="not positive definite"):
        forget(method, model, tok, hparams, moments=moments)
    ridged = type(hparams)(**hparams.model_dump() | {"mom2_ridge": 1e-3})
    forget(method, model, tok, ridged, moments=moments).undo(model)
    assert hparams.mom2_ridge == 0
    with pytest.raises(ValueError, match="mom2_ridge"):
        type(hparams)(**hparams.model_dump() | {"mom2_ridge": -1.0})


# --- ROME


def test_rome_edits_every_fact_on_the_model_as_edited_so_far(family, monkeypatch):
    model, tok = TINY[family]()
    hparams = settings("ROME", family)
    name = hparams.rewrite_module(1)
    seen, real = [], ROME.solve
    monkeypatch.setattr(ROME, "solve", lambda *args: seen.append(weights_hash(model)) or real(*args))
    forget("ROME", model, tok, hparams)
    assert len(set(seen)) == len(REQUESTS)
    together = read_weight(model, name).clone()
    fresh, _ = TINY[family]()
    moments = moments_for(fresh, [name])
    for request in REQUESTS:
        forget("ROME", fresh, tok, hparams, requests=[request], moments=moments)
    torch.testing.assert_close(together, read_weight(fresh, name), atol=1e-5, rtol=1e-4)


def test_rome_makes_the_modules_output_its_target(family):
    """The new output at the plain prompt's key is v*, found by the plain one-fact search on the final logits.

    Biases are made up where the family has them: they belong to the output, not to W k.
    """
    model, tok = TINY[family]()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("c_proj.bias"):
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    hparams = settings("ROME", family, v_loss_layer=2)
    value, _, _ = find_target(model, tok, REQUESTS[0], "<EOS>", 1, "module", hparams, TEMPLATES, final_logits=True)
    forget("ROME", model, tok, hparams, requests=REQUESTS[:1])
    output = plain(model, tok, REQUESTS[:1], ModuleSite(hparams.rewrite_module(1)), 10_000)[:, 0]
    torch.testing.assert_close(output, value, atol=1e-3, rtol=1e-3)


def test_rome_averages_all_templates_alike(family, monkeypatch):
    model, tok = TINY[family]()
    hparams = settings("ROME", family)
    keys = []
    real = ROME.solve
    monkeypatch.setattr(ROME, "solve", lambda *args: keys.append(args[:2]) or real(*args))
    forget("ROME", model, tok, hparams, requests=REQUESTS[:1])
    model, tok = TINY[family]()
    per_template = [keys[0][1]]
    for template in TEMPLATES[1]:
        alone = TINY[family]()[0]
        forget("ROME", alone, tok, hparams, requests=REQUESTS[:1], context_templates=[[template]])
        per_template.append(keys[-1][0])
    torch.testing.assert_close(keys[0][0], torch.stack(per_template).mean(0), atol=1e-5, rtol=1e-4)


def test_rome_without_adjustment_needs_no_moments(family):
    model, tok = TINY[family]()
    edits = forget("ROME", model, tok, settings("ROME", family, mom2_adjustment=False), moments=None)
    assert not torch.equal(next(iter(edits.original.values())), model.get_parameter(next(iter(edits.original))))


def test_rome_takes_one_layer(family):
    with pytest.raises(ValueError, match="layers"):
        settings("ROME", family, layers=[1, 2])


# --- AlphaEdit


def test_alphaedit_carries_the_keys_of_all_earlier_steps(family, monkeypatch):
    module = import_module("baselines.alphaedit.edit")

    model, tok = TINY[family]()
    hparams = settings("AlphaEdit", family)
    moments, previous, protected, real = moments_for(model, hparams.rewrite_modules()), None, [], module.solve
    monkeypatch.setattr(module, "solve", lambda *a, **k: protected.append(a[3].shape[1]) or real(*a, **k))
    for request in REQUESTS:
        previous = forget("AlphaEdit", model, tok, hparams, requests=[request], moments=moments, previous=previous)
    assert protected == [0, 0, 1, 1, 2, 2]
    assert all(previous.keys[name].shape[1] == 3 for name in hparams.rewrite_modules())


def test_alphaedit_changes_with_what_was_written_before(family):
    model, tok = TINY[family]()
    hparams = settings("AlphaEdit", family, layers=[1])
    name, moments = hparams.rewrite_module(1), moments_for(model, hparams.rewrite_modules())
    first = forget("AlphaEdit", model, tok, hparams, requests=REQUESTS[:1], moments=moments)
    changes = []
    for previous in (None, first):
        before = read_weight(model, name).clone()
        second = forget("AlphaEdit", model, tok, hparams, requests=REQUESTS[1:], moments=moments, previous=previous)
        changes.append((read_weight(model, name) - before) @ first.keys[name])
        second.undo(model)
    assert changes[1].norm() < 0.9 * changes[0].norm()


def test_alphaedit_says_when_no_eigenvalue_qualifies(family):
    model, tok = TINY[family]()
    before = weights_hash(model)
    with pytest.raises(UserError, match="nullspace_threshold"):
        forget("AlphaEdit", model, tok, settings("AlphaEdit", family, nullspace_threshold=1e-9))
    assert weights_hash(model) == before


def test_the_threshold_is_absolute_or_relative(family):
    model, tok = TINY[family]()
    hparams = settings("AlphaEdit", family, layers=[1])
    name = hparams.rewrite_module(1)
    moments = moments_for(model, [name])
    largest = float(torch.linalg.eigvalsh(moments[name])[-1])
    results = []
    for changes in ({}, {"nullspace_relative": False, "nullspace_threshold": 0.5 * largest}):
        edits = forget("AlphaEdit", model, tok, settings("AlphaEdit", family, layers=[1], **changes), moments=moments)
        results.append(read_weight(model, name).clone())
        edits.undo(model)
    torch.testing.assert_close(*results)
