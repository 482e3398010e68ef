"""`unlearn` from Python: what it returns, what it finds by itself, and that nothing stays of an edit that failed."""

import json

import pytest
import torch

from tests.experiments.known import known_facts
from tests.tiny import MODULE_NAMES, TARGET_SETTINGS, TEXT, moments_for, tiny_llama
from util.errors import UserError
from util.request import Request
from util.standing import standings
from util.weights import weights_hash
from zerounlearn import Answer, Unlearned, unlearn
from zerounlearn import unlearning as way_in

VALUES = TARGET_SETTINGS | MODULE_NAMES["llama"] | {"mom2_update_weight": 0.1, "mom2_ridge": 0.0, "kl_factor": 0.0}
VALUES |= {"v_num_grad_steps": 15, "clamp_norm_factor": 3.0}


@pytest.fixture(scope="module")
def known():
    """(model, tokenizer, requests that the model answers)."""
    model, tokenizer = tiny_llama(max_position_embeddings=256)
    facts = known_facts(model, tokenizer, 12)
    return model, tokenizer, [Request(case_id=i, **fact) for i, fact in enumerate((facts[0], facts[7]))]


def hparams():
    from baselines.memit import HParams

    return HParams(**VALUES)


def test_the_answers_are_those_before_and_after(known):
    model, tokenizer, requests = known
    before = weights_hash(model)
    moments = moments_for(model, hparams().rewrite_modules())
    done = unlearn(model, tokenizer, requests, method="MEMIT", hparams=hparams(), moments=moments)
    assert isinstance(done, Unlearned) and done.method == "MEMIT" and done.hparams == hparams()
    assert [answer.request for answer in done.answers] == requests
    asked = [(request.text, request.target_true, None) for request in requests]
    now = standings(model, tokenizer, asked, batch_tokens=1000)
    for answer, question in zip(done.answers, asked, strict=True):
        assert isinstance(answer, Answer) and answer.known
        assert answer.after == now[question] != answer.before
        assert answer.still_said == (answer.after.rank == 1)
    assert done.still_said == tuple(answer for answer in done.answers if answer.still_said)
    done.edits.undo(model)
    assert weights_hash(model) == before


def test_weights_are_rounded_to_what_they_are_stored_as(known):
    model, tokenizer, requests = known
    moments = moments_for(model, hparams().rewrite_modules())
    options = {"method": "MEMIT", "hparams": hparams(), "moments": moments}
    done = unlearn(model, tokenizer, requests, stored_as=torch.bfloat16, **options)
    for name in done.edits.original:
        weight = model.get_parameter(name)
        assert torch.equal(weight, weight.bfloat16().float())
    done.edits.undo(model)


def test_hparams_and_statistics_are_found_by_name(known, tmp_path, monkeypatch):
    model, tokenizer, requests = known
    (tmp_path / "corpus.txt").write_text("\n\n".join(TEXT * 4), encoding="utf-8")
    (tmp_path / "hparams" / "MEMIT").mkdir(parents=True)
    values = VALUES | {"mom2_dataset": str(tmp_path / "corpus.txt"), "mom2_n_samples": 20, "mom2_ridge": 1e-3}
    (tmp_path / "hparams" / "MEMIT" / "Tiny.json").write_text(json.dumps(values), encoding="utf-8")
    monkeypatch.setenv("ZEROUNLEARN_HPARAMS", str(tmp_path / "hparams"))
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    model.name_or_path = "somewhere/Tiny"
    done = unlearn(model, tokenizer, requests, method="MEMIT")
    assert done.answers[0].known and list((tmp_path / "stats").glob("*.safetensors"))
    done.edits.undo(model)
    model.name_or_path = "somewhere/Other"
    with pytest.raises(UserError, match=r"Other.json does not exist; .* has Tiny.json"):
        unlearn(model, tokenizer, requests, method="MEMIT")


def test_a_broken_edit_is_taken_back(known, monkeypatch):
    model, tokenizer, requests = known
    before = weights_hash(model)

    def broken(model, edits, dtype):
        for name in edits.original:
            model.get_parameter(name).detach().fill_(torch.nan)

    monkeypatch.setattr(way_in, "round_to", broken)
    moments = moments_for(model, hparams().rewrite_modules())
    with pytest.raises(FloatingPointError, match="weights were put back"):
        unlearn(model, tokenizer, requests, method="MEMIT", hparams=hparams(), moments=moments)
    assert weights_hash(model) == before


def test_weights_beyond_what_they_are_stored_as_are_taken_back(known, monkeypatch):
    """Finite in float32, infinite in float16."""
    model, tokenizer, requests = known
    before = weights_hash(model)
    rounded = way_in.round_to

    def enlarged(model, edits, dtype):
        for name in edits.original:
            model.get_parameter(name).detach()[0, 0] = 1e6
        rounded(model, edits, dtype)

    monkeypatch.setattr(way_in, "round_to", enlarged)
    moments = moments_for(model, hparams().rewrite_modules())
    options = {"method": "MEMIT", "hparams": hparams(), "moments": moments, "stored_as": torch.float16}
    with pytest.raises(FloatingPointError, match="down_proj.weight, stored as float16, is not finite"):
        unlearn(model, tokenizer, requests, **options)
    assert weights_hash(model) == before
