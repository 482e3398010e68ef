from dataclasses import replace
from importlib import import_module

import pytest
import torch

from tests.tiny import MODULE_NAMES, REQUESTS, TARGET_SETTINGS, TEMPLATES, TINY, moments_for
from util.editing import layers as layers_module
from util.editing import setting as setting_module
from util.editing.keys import ModuleSite, average_keys, plain
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.invented import about_nobody
from util.weights import read_weight, weights_hash
from zerounlearn import HParams, apply_to_model

OWN = {
    "wiki_KKT_lam": 20,
    "forget_KKT_lam": 50,
    "regularization_lam": 1,
    "epsilon": 0.01,
    "projector": "published",
    "solver": "woodbury",
}


def settings(family, **changes):
    return HParams(**TARGET_SETTINGS | MODULE_NAMES[family] | OWN | changes)


def forget(model, tok, hparams, **changes):
    options = {"context_templates": TEMPLATES} | changes
    if "moments" not in options:
        options["moments"] = moments_for(model, hparams.rewrite_modules())
    return apply_to_model(model, tok, options.pop("requests", REQUESTS), hparams, **options)


def weights(model, hparams):
    return {name: read_weight(model, name).clone() for name in hparams.rewrite_modules()}


def test_solvers_give_the_same_weights(tiny, family):
    model, tok = tiny
    results = []
    for solver in ("woodbury", "direct"):
        hparams = settings(family, solver=solver)
        edits = forget(model, tok, hparams)
        results.append(weights(model, hparams))
        edits.undo(model)
    for name, W in results[0].items():
        assert (W - results[1][name]).norm() < 1e-4 * (W - read_weight(model, name)).norm()


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


def test_without_projection_no_sensitive_search_is_made(family, monkeypatch):
    model, tok = TINY[family]()
    calls, real = [], setting_module.find_targets
    monkeypatch.setattr(setting_module, "find_targets", lambda *a, **k: calls.append(a[5]) or real(*a, **k))
    forget(model, tok, settings(family, projector="none"))
    assert calls == ["layer"]


@pytest.mark.parametrize("projector", ["published", "identity_preserving", "centred"])
def test_what_is_removed_from_others_is_told_and_warned_of(family, projector, monkeypatch, caplog):
    """What is told is what the new weight lacks of invented subjects' values; the warning comes where it is much."""
    edit_module = import_module("zerounlearn.edit")
    model, tok = TINY[family]()
    hparams = settings(family, layers=[1], projector=projector, forget_KKT_lam=0, epsilon=0.0)
    name = hparams.rewrite_module(1)
    nobody = about_nobody(REQUESTS, edit_module.WATCHED)
    K = plain(model, tok, nobody, ModuleSite(name, inputs=True), 500)
    before = read_weight(model, name) @ K
    edits = forget(model, tok, hparams)
    left = read_weight(model, name) @ K
    expected = (1 - left.square().sum(0) / before.square().sum(0)).mean().item()
    assert edits.diagnostics["removed_from_others"] == {name: pytest.approx(expected, abs=1e-4)}
    edits.undo(model)
    for limit, warnings in ((expected + 0.01, 0), (expected - 0.01, 1)):
        caplog.clear()
        monkeypatch.setattr(edit_module, "TOO_MUCH", limit)
        monkeypatch.setattr(edit_module, "IN_COMMON", 2)
        forget(model, tok, hparams).undo(model)
        assert len(caplog.messages) == warnings and all(name in message for message in caplog.messages)
    mean = before.mean(1)
    forget(model, tok, hparams)
    kept = torch.allclose((read_weight(model, name) @ K).mean(1) @ mean, mean @ mean, rtol=1e-4)
    assert kept == (projector == "centred")


@pytest.mark.parametrize(
    ("removed", "cosine", "warned"),
    [
        ([0.28], [0.04], False),
        ([0.48], [0.04], True),
        ([0.2, 0.2], [0.04, 0.04], True),
        ([0.16], [0.12], True),
        ([0.16, 0.04], [0.04, 0.12], False),
        ([0.09], [0.5], False),
        ([0.16], [float("nan")], False),
    ],
)
def test_how_much_is_too_much(removed, cosine, warned):
    assert import_module("zerounlearn.edit").too_much(removed, cosine) == warned


def test_others_are_the_facts_to_keep_where_some_are_given(family):
    """The forgotten facts in their place lose all of theirs."""
    model, tok = TINY[family]()
    hparams = settings(family, layers=[1], clamp_norm_factor=1e-6)
    edits = forget(model, tok, hparams, retain_requests=REQUESTS * 22)
    assert edits.diagnostics["removed_from_others"] == {hparams.rewrite_module(1): pytest.approx(1, abs=1e-4)}


@pytest.mark.parametrize("projector", ["none", "published", "identity_preserving", "centred"])
def test_invented_names_that_have_no_room_are_nobodys_fault(projector, monkeypatch):
    """They are longer than the requests' own, which fit."""
    model, tok = TINY["gpt2"](n_positions=24)
    long = [replace(REQUESTS[0], subject="Ada " * 40 + "Bo")] * 2
    monkeypatch.setattr(import_module("zerounlearn.edit"), "about_nobody", lambda *_: long)
    hparams = settings("gpt2", projector=projector)
    if projector == "centred":
        with pytest.raises(UserError, match="invented subjects, whose names do not fit the model's positions"):
            forget(model, tok, hparams, context_templates=[["{}"]])
    else:
        assert not forget(model, tok, hparams, context_templates=[["{}"]]).diagnostics.get("removed_from_others")


def test_without_projection_nothing_is_removed_from_others(family):
    model, tok = TINY[family]()
    assert "removed_from_others" not in forget(model, tok, settings(family, projector="none")).diagnostics


def test_the_residual_is_made_at_the_edited_layer(family):
    """One layer, no projection, almost no ridge: the module's new output at the keys is the old one plus R."""
    model, tok = TINY[family]()
    hparams = settings(family, layers=[2], projector="none", wiki_KKT_lam=1e-6, regularization_lam=1e-6)
    problems, name = [], hparams.rewrite_module(2)
    before = read_weight(model, name).clone()
    K = average_keys(model, tok, REQUESTS, name, TEMPLATES, 10_000)
    with pytest.MonkeyPatch.context() as patched:
        real = layers_module._problem
        patched.setattr(layers_module, "_problem", lambda *args: problems.append(real(*args)) or problems[-1])
        forget(model, tok, hparams)
    torch.testing.assert_close((read_weight(model, name) - before) @ K, problems[0].R_ON, atol=1e-3, rtol=1e-3)


def test_factors_are_kept_with_the_statistics(family, monkeypatch):
    edit_module = import_module("zerounlearn.edit")
    from tests.util.editing.test_statistics import Corpus

    model, tok = TINY[family]()
    hparams = settings(family)
    moments = CorpusMoments(model, tok, hparams.rewrite_modules(), Corpus(), dtype="float64", progress=False)
    built, real = [], edit_module.factor_utility
    monkeypatch.setattr(edit_module, "factor_utility", lambda *args: built.append(1) or real(*args))
    for _ in range(2):
        forget(model, tok, hparams, moments=moments).undo(model)
    assert len(built) == 2
    forget(model, tok, settings(family, wiki_KKT_lam=30), moments=moments).undo(model)
    assert len(built) == 4


def test_more_facts_than_rows(family):
    model, tok = TINY[family]()
    names = ["Ada", "London", "Polish", "J. van Dyke", "Northland", "Port Alba"]
    requests = [
        REQUESTS[i % 3].__class__(
            case_id=i, prompt=REQUESTS[i % 3].prompt, subject=f"{names[i % 6]} {i}", target_true="late"
        )
        for i in range(26)
    ]
    edits = forget(model, tok, settings(family, layers=[1], v_num_grad_steps=2), requests=requests)
    assert (
        read_weight(model, settings(family).rewrite_module(1)).norm() < 0.2 * next(iter(edits.original.values())).norm()
    )


def test_facts_already_in_the_neutral_state_are_only_projected(family, monkeypatch):
    """Nothing is left to be made, so the weight changes by P alone, and without projection not at all."""
    from util.editing import targets as targets_module
    from zerounlearn.solve import project

    model, tok = TINY[family]()
    problems, real = [], layers_module._problem
    monkeypatch.setattr(layers_module, "_problem", lambda *args: problems.append(real(*args)) or problems[-1])
    monkeypatch.setattr(targets_module, "STOP_BELOW", 1e9)
    hparams = settings(family, layers=[1])
    before = weights(model, hparams)
    edits = forget(model, tok, hparams)
    for name, W in weights(model, hparams).items():
        torch.testing.assert_close(W, project(before[name], problems[0].U_ON, 0.01, "published").float())
    edits.undo(model)
    forget(model, tok, settings(family, layers=[1], projector="none"))
    for name, W in weights(model, hparams).items():
        torch.testing.assert_close(W, before[name])


def test_duplicate_requests_are_one_fact_with_twice_the_weight(family):
    model, tok = TINY[family]()
    hparams = settings(family, layers=[1])
    edits = forget(model, tok, hparams, requests=REQUESTS[:1] * 2)
    twice = weights(model, hparams)
    edits.undo(model)
    forget(model, tok, settings(family, layers=[1], forget_KKT_lam=100), requests=REQUESTS[:1])
    for name, W in weights(model, hparams).items():
        torch.testing.assert_close(W, twice[name], atol=1e-4, rtol=1e-3)


def test_a_failure_half_way_leaves_the_model_as_it_was(family, monkeypatch):
    edit_module = import_module("zerounlearn.edit")

    model, tok = TINY[family]()
    before, calls, real = weights_hash(model), [], edit_module.solve

    def breaks_at_the_second_layer(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("half way")
        return real(*args, **options)

    monkeypatch.setattr(edit_module, "solve", breaks_at_the_second_layer)
    with pytest.raises(RuntimeError, match="half way"):
        forget(model, tok, settings(family))
    assert weights_hash(model) == before


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {"requests": []}, "no requests"),
        ({}, {"moments": None}, "needs moments"),
        ({}, {"moments": {}}, "lack module"),
        ({"layers": [1, 9]}, {"moments": {}}, "layer 9"),
        ({"v_loss_layer": 4}, {}, "v_loss_layer names layer 4"),
        ({"rewrite_module_tmp": "nothing.{}"}, {"moments": {}}, "no module"),
    ],
)
def test_bad_input(family, changes, options, words):
    model, tok = TINY[family]()
    before = weights_hash(model)
    with pytest.raises(UserError, match=words):
        forget(model, tok, settings(family, **changes), **options)
    assert weights_hash(model) == before


def test_a_moment_of_the_wrong_size(family):
    model, tok = TINY[family]()
    moments = {name: torch.eye(3) for name in settings(family).rewrite_modules()}
    with pytest.raises(UserError, match=r"shape \(3, 3\), expected \(44, 44\)"):
        forget(model, tok, settings(family), moments=moments)


def test_diagnostics_and_seconds(family):
    model, tok = TINY[family]()
    edits = forget(model, tok, settings(family))
    assert len(edits.diagnostics["target_loss"]) == len(edits.diagnostics["target_steps"]) == 3
    assert set(edits.seconds) == {"statistics", "targets", "keys", "solve"}
    assert {name: K.shape for name, K in edits.keys.items()} == dict.fromkeys(
        settings(family).rewrite_modules(), (44, 3)
    )
