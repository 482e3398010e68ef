"""Attacks on weights: they bring back what an edit left in them, and leave every weight as it was."""

import copy
from itertools import pairwise

import pytest
import torch

from dsets import Record
from experiments.auditing.attack_registry import ATTACKS
from experiments.auditing.attacking import prepare
from experiments.auditing.attacks.asking import prompt
from experiments.auditing.attacks.reversal import drop_from_update, drop_from_weights, without_directions
from experiments.auditing.attacks.rounding import (
    NF4,
    rounded,
    rounded_weights,
    to_integers,
    to_normal_floats,
)
from experiments.auditing.changed_weights import changed_matrices
from experiments.auditing.context import NotPossible
from experiments.auditing.lessons import rows
from tests.experiments.auditing.conftest import against, share
from tests.experiments.auditing.fakes import never_knew
from tests.experiments.known import known_facts
from tests.tiny import tiny_llama
from util.weights import WeightEdits, read_weight

EDITED = "model.layers.3.mlp.down_proj"


@pytest.fixture
def edited(audited):
    """The model after with one strong direction more in one matrix, which breaks its answers."""
    edits = WeightEdits()
    W_OI = read_weight(audited.after, EDITED)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, generator=generator) for size in W_OI.shape)
    edits.write(audited.after, EDITED, W_OI + 3 * torch.outer(left, right))
    yield audited
    edits.undo(audited.after)


def test_one_strong_direction_is_dropped_from_the_weights_alone(edited):
    assert changed_matrices(edited.before, edited.after) == [EDITED]
    assert share(prompt(edited).facts) < 50
    for attack in (drop_from_weights(top=True), drop_from_update):
        got = attack(edited)
        assert share(got.facts) == 100
        assert got.details["curve"]["facts"][0] == 100


def test_directions_bring_nothing_back_that_was_never_there(edited):
    for attack in (drop_from_weights(top=True), drop_from_weights(top=False), drop_from_update):
        with never_knew(edited.after, edited.tokenizer, edited.facts):
            got = attack(edited)
        assert share(got.facts) <= share(got.controls) + 20


def test_the_smallest_directions_are_not_where_it_is(edited):
    before = share(prompt(edited).facts)
    assert share(drop_from_weights(top=False)(edited).facts) <= before + 20


def test_what_lies_in_the_smallest_directions_is_dropped():
    """Matrices that know by their 8 largest directions alone; then with noise, not as large, in the 16 others."""
    before, tokenizer = tiny_llama(max_position_embeddings=256)
    edits, names = WeightEdits(), [f"model.layers.{layer}.mlp.down_proj" for layer in range(4)]
    for name in names:
        edits.write(before, name, without_directions(read_weight(before, name), top=False)(16))
    facts = [Record(case_id=i, **fact) for i, fact in enumerate(known_facts(before, tokenizer, 8))]
    after, generator = copy.deepcopy(before), torch.Generator().manual_seed(0)
    for name in names:
        left, singular, right = torch.linalg.svd(read_weight(before, name).double())
        turn = torch.linalg.qr(torch.randn(len(right) - 8, 16, generator=generator, dtype=torch.float64)).Q
        edits.write(after, name, read_weight(before, name) + 0.99 * singular[7] * left[:, 8:] @ turn.T @ right[8:])
    audited = prepare(before, after, tokenizer, facts, seed=0, batch_tokens=2048, controls=8)
    assert share(prompt(audited).facts) < 50
    got = drop_from_weights(top=False)(audited)
    assert share(got.facts) == 100 == got.details["curve"]["facts"][-1]


def test_without_an_edit_there_is_nothing_to_reverse(audited):
    for attack in (drop_from_weights(top=True), drop_from_update):
        with pytest.raises(NotPossible, match="no linear weight"):
            attack(audited)


@pytest.mark.parametrize("top", [True, False])
def test_dropping_directions_leaves_the_others(top):
    W = torch.randn(5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    left, singular, right = torch.linalg.svd(W, full_matrices=False)
    kept = slice(2, None) if top else slice(None, -2)
    assert torch.allclose(without_directions(W, top)(2), left[:, kept] * singular[kept] @ right[kept])
    assert without_directions(W, top)(9).abs().max() == 0


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [None, 3, 32])
def test_integers_are_the_nearest_of_their_grid(bits, group):
    W = torch.randn(5, 7, generator=torch.Generator().manual_seed(2))
    found, most = rounded(W, to_integers(bits), group), 2 ** (bits - 1) - 1
    for part, whole in zip(found.split(group or 7, 1), W.split(group or 7, 1)):
        step = whole.abs().amax(1, keepdim=True) / most
        assert ((part - whole).abs() <= step / 2 + 1e-6).all()
        assert torch.allclose((part / step).round(), part / step, atol=1e-3)
    assert torch.allclose(rounded(found, to_integers(bits), group), found, atol=1e-6)


def test_normal_floats_are_the_nearest_of_sixteen():
    W = torch.randn(5, 64, generator=torch.Generator().manual_seed(3))
    scale = W.abs().amax(1, keepdim=True)
    nearest = (W / scale)[..., None].sub(torch.tensor(NF4)).abs().argmin(-1)
    assert torch.allclose(rounded(W, to_normal_floats, 64), torch.tensor(NF4)[nearest] * scale)


def test_a_row_of_zeros_stays_one():
    W = torch.zeros(2, 8)
    assert torch.equal(rounded(W, to_integers(4), 4), W)
    assert torch.equal(rounded(W, to_normal_floats, 4), W)


GRIDS = {
    "int8": (to_integers(8), None, 1 / 127),
    "int4_g32": (to_integers(4), 32, 1 / 7),
    "int4_g128": (to_integers(4), 128, 1 / 7),
    "nf4": (to_normal_floats, 64, min(high - low for low, high in pairwise(NF4))),
}
"""By attack: rounding, group, and the smallest step as a share of the group's largest weight."""


@pytest.mark.parametrize("name", GRIDS)
def test_rounding_brings_back_what_lies_below_its_steps(audited, name):
    """Rounded weights, each moved by less than half a step: wrong answers, until they are rounded again."""
    model, edits, (rounding, group, least) = audited.after, WeightEdits(), GRIDS[name]
    signs = against(model, rows(audited, audited.facts))
    try:
        for matrix, sign_OI in signs.items():
            grid_OI = rounded(read_weight(model, matrix), rounding, group)
            parts = grid_OI.split(group or grid_OI.shape[1], 1)
            most_OI = torch.cat([part.abs().amax(1, keepdim=True).expand_as(part) for part in parts], 1)
            inner_OI = grid_OI.abs() < (1 - least / 2) * most_OI  # the largest of a group make its grid
            edits.write(model, matrix, grid_OI - 0.45 * least * most_OI * sign_OI * inner_OI)
        assert share(prompt(audited).facts) < 50
        assert share(ATTACKS[name].run(audited).facts) == 100
    finally:
        edits.undo(model)


@pytest.mark.parametrize("name", GRIDS)
def test_rounding_brings_nothing_back_that_was_never_there(audited, name):
    with never_knew(audited.after, audited.tokenizer, audited.facts):
        assert share(ATTACKS[name].run(audited).facts) == 0


def test_weights_come_back_when_the_block_fails(audited):
    with pytest.raises(KeyError), torch.no_grad(), rounded_weights(audited.after, to_integers(4), 32):
        raise KeyError  # the fixture compares the weights
