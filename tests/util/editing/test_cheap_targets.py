"""Targets without a search: by hand, by their mathematics, and through the methods that ask for them."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from baselines.registry import METHODS, method
from tests.contract import forget, hparams_for
from tests.tiny import MODULE_NAMES, REQUESTS, TARGET_SETTINGS, TEMPLATES, TINY
from util.editing.cheap_targets import STEPS, ignorance, one_step
from util.editing.keys import ModuleSite, plain
from util.editing.setting import Setting
from util.editing.target_cache import TargetCache
from util.editing.targets import find_targets
from util.errors import UserError
from util.hparams import MomentHParams, TargetHParams
from util.invented import invented_names
from util.modeling import max_length
from util.request import Frame, Request
from util.tokens import encode

SEARCHING = [name for name in METHODS if issubclass(method(name).HParams, TargetHParams)]
CHEAP = ("ignorance", "one_step")


def settings(family, **changes):
    return MomentHParams(**TARGET_SETTINGS | MODULE_NAMES[family] | changes)


def search(family, hparams, target, site="layer", **options):
    model, tok = TINY[family]()
    asked = (model, tok, REQUESTS, ["<EOS>"] * 3, 1, site, hparams, TEMPLATES)
    return find_targets(*asked, batch_tokens=10_000, target=target, **options)


@pytest.mark.parametrize("site", ["layer", "module"])
def test_ignorance_is_the_mean_over_invented_subjects(family, site):
    """Each prompt form's own mean, taken one subject at a time; a scale goes from the anchor to it and past it."""
    model, tok = TINY[family]()
    hparams = settings(family, invented_subjects=4)
    name = hparams.layer_module_tmp.format(1) if site == "layer" else hparams.rewrite_module(1)
    found = search(family, hparams, "ignorance", site, seed=5)
    for i, request in enumerate(REQUESTS):
        strangers = [replace(request, subject=stranger) for stranger in invented_names(4, 5)]
        alone = [plain(model, tok, [stranger], ModuleSite(name), 100)[:, 0] for stranger in strangers]
        torch.testing.assert_close(found.values_ON[:, i], torch.stack(alone).mean(0), atol=1e-5, rtol=1e-5)
    scaled = search(family, settings(family, invented_subjects=4, target_scale=1.5), "ignorance", site, seed=5)
    past = found.anchors_ON + 1.5 * (found.values_ON - found.anchors_ON)
    torch.testing.assert_close(scaled.values_ON, past, atol=1e-5, rtol=1e-5)
    assert (search(family, hparams, "ignorance", site, seed=6).values_ON - found.values_ON).norm() > 1e-3


def test_an_invented_name_without_room_is_refused_in_one_line():
    """It may be longer than the subject, whose text fits."""
    model, tok = TINY["gpt2"]()
    room = max_length(model, 10_000)
    words = next(n for n in range(room) if len(encode(tok, "a " * n + "A")) >= room - 2)
    tight = Request(prompt="a " * words + "{}", subject="A", target_true="b")
    assert len(encode(tok, tight.text)) <= room
    with pytest.raises(UserError, match=f"the model {room} positions"):
        ignorance(model, tok, [tight], ModuleSite("transformer.h.1"), count=3, seed=0, batch_tokens=500)


def test_one_prompt_form_has_one_ignorance(family):
    model, tok = TINY[family]()
    first = Request(prompt="{} stood still in", subject="Ada", target_true="London")
    other = replace(first, prompt="The capital of {} is")
    rows = [first, replace(first, subject="The bridge"), other, replace(first, frame=Frame(before="You: "))]
    layer = ModuleSite(settings(family).layer_module_tmp.format(1))
    found = ignorance(model, tok, rows, layer, count=3, seed=0, batch_tokens=500)
    assert torch.equal(found[:, 0], found[:, 1])
    assert (found[:, 0] - found[:, 2]).norm() > 1e-3 < (found[:, 0] - found[:, 3]).norm()


def test_ignorance_has_no_loss_and_a_report_says_so(family):
    """It would cost more than the target itself."""
    found = search(family, settings(family), "ignorance")
    assert found.loss_N.isnan().all() and found.losses() == [None] * 3
    searched = search(family, settings(family), "neutral")
    assert searched.losses() == searched.loss_N.tolist()


def test_one_step_is_the_best_of_its_points():
    """On a quadratic whose minimum along the ray is known: before, between and after the points tried."""
    draw = torch.Generator().manual_seed(0)
    centre_NO = torch.randn(4, 5, generator=draw, dtype=torch.float64)
    away_N = centre_NO.norm(dim=1)
    longest_N = away_N / torch.tensor(
        [0.3, 0.6, 0.9, 4.0], dtype=torch.float64
    )  # the fourth's points fall short or far
    calls = []

    def loss(delta_NO):
        calls.append(delta_NO.requires_grad)
        return (delta_NO - centre_NO).square().sum(1)

    found_NO, loss_N, first_N = one_step(loss, torch.zeros_like(centre_NO), longest_N)
    assert calls == [True] + [False] * len(STEPS)
    torch.testing.assert_close(first_N, away_N.square())
    torch.testing.assert_close(loss(found_NO), loss_N)
    gone_N = found_NO.norm(dim=1) / longest_N
    torch.testing.assert_close(gone_N, torch.tensor([0.25, 0.5, 1.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close((found_NO * centre_NO).sum(1), found_NO.norm(dim=1) * away_N)


def test_one_step_stays_where_nothing_is_better():
    """A minimum, a flat place, and a valley too narrow for every point."""
    start_NO, longest_N = torch.zeros(3, 2, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    slope_N = torch.tensor([0.0, 0.0, -1e-3], dtype=torch.float64)

    def loss(delta_NO):
        return torch.tensor([1.0, 0.0, 1.0]) * delta_NO.square().sum(1) + slope_N * delta_NO[:, 0]

    found_NO, loss_N, first_N = one_step(loss, start_NO, longest_N)
    assert torch.equal(found_NO, start_NO) and torch.equal(loss_N, first_N)


@pytest.mark.parametrize("site", ["layer", "module"])
def test_one_step_never_ends_above_the_start(family, site):
    hparams = settings(family)
    start = search(family, settings(family, v_num_grad_steps=1), "neutral", site).loss_N
    found = search(family, hparams, "one_step", site)
    assert (found.loss_N <= start).all() and (found.loss_N < start).any()
    length_N = (found.values_ON - found.anchors_ON).norm(dim=0) / found.anchors_ON.norm(dim=0)
    assert (length_N <= 1.0001 * hparams.clamp_norm_factor).all()
    assert found.steps_N.tolist() == (found.loss_N < start).int().tolist()


@pytest.mark.parametrize("target", CHEAP)
def test_groups_of_facts_find_what_all_together_find(family, target):
    together = search(family, settings(family), target)
    model, tok = TINY[family]()
    asked = (model, tok, REQUESTS, ["<EOS>"] * 3, 1, "layer", settings(family), TEMPLATES)
    apart = find_targets(*asked, batch_tokens=1, target=target)
    torch.testing.assert_close(apart.values_ON, together.values_ON, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def searched_edits():
    """(method, family) → its edits with targets that are searched for; each made once."""
    return cache(lambda name, family: forget(name, *TINY[family](), hparams_for(name, family)))


@pytest.mark.parametrize("target", CHEAP)
@pytest.mark.parametrize("name", SEARCHING)
def test_every_closed_form_takes_every_target(name, target, family, searched_edits):
    model, tok = TINY[family]()
    edits = forget(name, model, tok, hparams_for(name, family, target=target))
    assert max(edits.diagnostics["target_steps"]) <= 1
    searched = searched_edits(name, family)

    assert set(edits.original) == set(searched.original)
    assert edits.diagnostics["target_loss"] != searched.diagnostics["target_loss"]


def test_kinds_of_targets_are_kept_apart(family, tmp_path):
    """A search knows nothing of invented subjects, and shares its file whatever the hparams say of them."""
    model, tok = TINY[family]()
    asked = {"requests": REQUESTS, "context_templates": TEMPLATES, "target_cache": TargetCache(tmp_path)}
    setting = Setting(model=model, tokenizer=tok, **asked)

    def files(setting=setting, **changes):
        setting.targets(settings(family, **changes), ["<EOS>"] * 3, 1, "layer")
        return len(list(tmp_path.iterdir()))

    assert [files(), files(target_scale=1.3), files(target="one_step"), files(target="ignorance")] == [1, 1, 2, 3]
    assert [files(target="ignorance", target_scale=1.3), files(target="ignorance", invented_subjects=3)] == [4, 5]
    other = replace(setting, seed=1)
    assert [files(other, target="ignorance"), files(other, target="one_step")] == [6, 6]


def test_an_answer_that_ignorance_does_not_read_is_told(caplog):
    model, tok = TINY["llama"]()
    elsewhere = [replace(request, target_new="Hello") for request in REQUESTS]
    for target, told in (("one_step", 0), ("ignorance", 1)):
        forget("MEMIT", model, tok, hparams_for("MEMIT", "llama", target=target), requests=elsewhere)
        assert sum("is not read" in message for message in caplog.messages) == told
