"""Patches: exact both ways, in either form, for the right model only; damage is told; composing."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from experiments.requests.patch_composing import base_values, compared, composed
from experiments.requests.patches import Patch, make_patch
from tests.experiments.requests.small_edit import HPARAMS, edit, patch_of
from tests.tiny import REQUESTS, TINY, tiny_llama
from util.errors import UserError
from util.weights import WeightEdits, read_weight, weights_hash

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize(("rank", "scale", "form"), [(3, 1.0, True), (3, 1.01, True), (24, 1.0, False)])
def test_apply_and_revert_are_exact(family, dtype, rank, scale, form, tmp_path):
    model = TINY[family]()[0].to(dtype)
    base = weights_hash(model)
    edits = edit(model, rank=rank, scale=scale, layers=(1, 2))
    edited = weights_hash(model)
    about = {"model_name": "tiny", "alg_name": "MEMIT", "hparams": HPARAMS, "facts": REQUESTS}
    make_patch(model, edits, base_hash=base, **about).write(tmp_path / "p.safetensors")
    patch = Patch.read(tmp_path / "p.safetensors")
    if dtype == torch.float32:  # of two bytes an entry the whole difference of so small a weight is the smaller form
        assert [change.factors is not None for change in patch.changes.values()] == [form, form]
    for _ in range(2):
        patch.revert(model)
        assert weights_hash(model) == base
        patch.apply(model)
        assert weights_hash(model) == edited


def test_the_low_rank_form_is_small():
    model, _ = tiny_llama(hidden_size=96, intermediate_size=192)
    patch = patch_of(model)
    assert [change.factors.rank for change in patch.changes.values()] == [3]
    assert patch.size < 0.25 * read_weight(model, "model.layers.1.mlp.down_proj").nbytes


def test_parameters_that_are_no_matrices_are_kept_too():
    model, _ = TINY["gpt2"]()
    base, edits = weights_hash(model), WeightEdits()
    edits.remember(model, "transformer.h.0.ln_1")
    with torch.no_grad():
        model.transformer.h[0].ln_1.weight[2] += 1
    patch = make_patch(model, edits, base_hash=base, model_name="x", alg_name="FT", hparams=HPARAMS, facts=[])
    patch.revert(model)
    assert weights_hash(model) == base


def test_what_is_as_before_is_left_out_and_nothing_is_no_patch():
    model, _ = tiny_llama()
    base, edits = weights_hash(model), WeightEdits()
    edits.remember(model, "model.layers.0.mlp.down_proj")
    about = {"base_hash": base, "model_name": "x", "alg_name": "FT", "hparams": HPARAMS, "facts": []}
    with pytest.raises(UserError, match="no weight was changed"):
        make_patch(model, edits, **about)
    edits.extend(edit(model))
    assert list(make_patch(model, edits, **about).changes) == ["model.layers.1.mlp.down_proj.weight"]


def test_facts_are_told_to_who_has_them_and_to_nobody_else(tmp_path):
    model, _ = tiny_llama()
    patch = patch_of(model)
    path = tmp_path / "p.safetensors"
    patch.write(path)
    assert all(patch.names(fact) for fact in REQUESTS)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()["header"]
    for fact in REQUESTS:
        for text in (fact.subject, fact.target_true, fact.prompt):
            assert text not in header and json.dumps(text)[1:-1] not in header
    assert set(patch.origin.facts).isdisjoint(patch_of(model).origin.facts)  # salted


@pytest.mark.parametrize("turn", ["apply", "revert"])
def test_another_model_is_refused_and_left_alone(turn):
    model, _ = tiny_llama()
    patch = patch_of(model)
    other, _ = tiny_llama(seed=1)
    before = weights_hash(other)
    with pytest.raises(UserError, match="have another hash"):
        getattr(patch, turn)(other)
    assert weights_hash(other) == before
    with pytest.raises(UserError, match="in bfloat16, have another hash"):
        getattr(patch, turn)(tiny_llama()[0].to(torch.bfloat16))


def test_the_same_way_twice_is_refused():
    model, _ = tiny_llama()
    patch = patch_of(model)
    with pytest.raises(UserError, match="nothing is left to do"):
        patch.revert(model)
    patch.apply(model)
    with pytest.raises(UserError, match="nothing is left to do"):
        patch.apply(model)


def test_a_patch_that_leads_elsewhere_leaves_the_model_as_it_was():
    """The contents are as written, and the hash it names is not what they lead to."""
    model, _ = tiny_llama()
    patch, other = patch_of(model), patch_of(model, seed=1)
    with pytest.raises(UserError, match="does not lead to the weights"):
        Patch(patch.origin, other.changes).apply(model)
    assert patch.side(model) == "base"


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "p.safetensors"
    patch_of(tiny_llama()[0]).write(path)
    return path


def rewritten(path, change):
    """The file with other tensors or another header."""
    with safe_open(path, framework="pt") as file:
        header, tensors = json.loads(file.metadata()["header"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, path, {"header": json.dumps(header)})


def flip(header, tensors):
    next(iter(tensors.values()))[0] ^= 1


def drop(header, tensors):
    tensors.pop(next(iter(tensors)))


def other_scale(header, tensors):
    next(iter(header["weights"].values()))["scale"] = 2.0


@pytest.mark.parametrize("change", [flip, drop, other_scale, lambda h, t: h["origin"].update(base="0")])
def test_damage_is_told(written, change):
    rewritten(written, change)
    with pytest.raises(UserError, match="is damaged"):
        Patch.read(written)


@pytest.mark.parametrize("contents", [b"", b"nonsense" * 9, None])
def test_what_is_no_patch_is_refused(written, contents):
    if contents is None:
        save_file({"a": torch.zeros(2)}, written)
    else:
        written.write_bytes(contents)
    with pytest.raises(UserError, match="is no patch of ours"):
        Patch.read(written)


def test_a_cut_file_a_lacking_file_and_a_newer_version_are_refused(written):
    contents = written.read_bytes()
    rewritten(written, lambda header, tensors: header.update(version=2))
    with pytest.raises(UserError, match="has version 2, this release reads 1"):
        Patch.read(written)
    written.write_bytes(contents[:-10])
    with pytest.raises(UserError, match="is no patch of ours"):
        Patch.read(written)
    with pytest.raises(UserError, match="does not exist"):
        Patch.read(written.with_name("other"))


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        patch_of(tiny_llama()[0]).write(tmp_path / "file" / "p.safetensors")


# --- composing


def test_the_sum_is_the_sum_to_rounding_and_exact_as_a_patch():
    model, _ = tiny_llama()
    first, second = patch_of(model, layers=(1, 2)), patch_of(model, seed=5, layers=(2,))
    base = base_values(model, (first, second))
    both = composed(model, base, (first, second))
    assert both.side(model) == "base" and len(both.changes) == 2
    both.apply(model)
    for name, before in base.items():
        pair = [patch.changes[name] for patch in (first, second) if name in patch.changes]
        wanted = before + sum(change.apply(before) - before for change in pair)
        torch.testing.assert_close(model.get_parameter(name).detach(), wanted)
    assert [change.factors.rank for change in both.changes.values()] == [3, 6]
    both.revert(model)
    assert both.side(model) == "base"
    assert [part["facts"] for part in both.origin.parts] == [first.origin.facts, second.origin.facts]


def test_the_order_of_the_two_changes_nothing_but_rounding():
    model, _ = tiny_llama()
    pair = patch_of(model), patch_of(model, seed=5)
    base = base_values(model, pair)
    ways = [composed(model, base, way).changes for way in (pair, pair[::-1])]
    for name, before in base.items():
        torch.testing.assert_close(ways[0][name].apply(before), ways[1][name].apply(before))


@pytest.mark.parametrize(
    ("other", "word"),
    [({"layers": (2,)}, "apart"), ({"seed": 5}, "compatible"), ({"seed": 0}, "conflict")],
)
def test_the_word_says_whether_they_read_the_same(other, word):
    model, _ = tiny_llama(intermediate_size=200)
    pair = patch_of(model), patch_of(model, **other)
    conflict = compared(base_values(model, pair), pair)
    assert conflict.word == word
    for overlap in conflict.overlaps.values():
        assert 0 <= overlap.shared <= 1 and 0 <= overlap.closest <= 1


def test_patches_of_different_bases_are_not_added():
    model, other = tiny_llama()[0], tiny_llama(seed=1)[0]
    first, second = patch_of(model), patch_of(other)
    with pytest.raises(UserError, match="different bases"):
        base_values(model, (first, second))
    with pytest.raises(UserError, match="not the base of the patches"):
        base_values(other, (first, first))
