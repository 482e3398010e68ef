"""What a model knows is found out once, and again where anything that decides it is another."""

import json
from dataclasses import replace

import pytest

import dsets
from experiments.running import knowing as module
from experiments.running.knowing import Knower, known_by
from experiments.running.script_settings import KnownFactsSettings
from tests.experiments.known import saved
from tests.tiny import tiny_llama
from util.errors import UserError


@pytest.fixture
def knowing(tmp_path):
    """(a model with its fingerprints, facts it knows)."""
    model, tokenizer = tiny_llama()
    _, path = saved(model, tokenizer, tmp_path, 8)
    return Knower(model, tokenizer, "model", "tokenizer", 512), dsets.load(str(path))


def never(*_, **__):
    raise AssertionError("judged again")


def test_kept_and_read_again(knowing, tmp_path, monkeypatch):
    knower, dataset = knowing
    found = knower.verdict(dataset, "prompt", str(tmp_path), progress=False)
    assert len(found.known["prompt"]) == 8
    monkeypatch.setattr(module, "judge", never)
    assert knower.verdict(dataset, "prompt", str(tmp_path), progress=False) == found
    for other in (replace(knower, model_hash="edited"), replace(knower, tokenizer_hash="x")):
        with pytest.raises(AssertionError, match="judged again"):
            other.verdict(dataset, "prompt", str(tmp_path), progress=False)
    for changed in (replace(dataset, digest="x"), replace(dataset, records=dataset.records[:4])):
        with pytest.raises(AssertionError, match="judged again"):
            knower.verdict(changed, "prompt", str(tmp_path), progress=False)


def test_a_strict_verdict_serves_both_levels(knowing, tmp_path, monkeypatch):
    knower, dataset = knowing
    found = knower.verdict(dataset, "strict", str(tmp_path), progress=False)
    monkeypatch.setattr(module, "judge", never)
    assert knower.verdict(dataset, "prompt", str(tmp_path), progress=False) == found
    (path,) = (tmp_path / "known").iterdir()
    assert json.loads(path.read_text())["decided_by"]["model"] == "model"


def test_facts_to_trace_are_kept_and_found_again(knowing, tmp_path, monkeypatch):
    knower, dataset = knowing
    drawn = dataset.records[::-1]
    options = {"data_dir": str(tmp_path), "progress": False}
    facts, tried = knower.to_trace(dataset, drawn, 3, **options)
    assert (len(facts), tried) == (3, 3) and [fact.case_id for fact in facts] == [7, 6, 5]
    monkeypatch.setattr(module, "known_facts", never)
    assert knower.to_trace(dataset, drawn, 3, **options) == (facts, tried)
    for other, records, limit, whole in (
        (replace(knower, model_hash="edited"), drawn, 3, False),
        (knower, dataset.records, 3, False),
        (knower, drawn, 4, False),
        (knower, drawn, 3, True),
    ):
        with pytest.raises(AssertionError, match="judged again"):
            other.to_trace(dataset, records, limit, whole_answer=whole, **options)


def test_chosen(knowing, tmp_path):
    knower, dataset = knowing
    unknown = replace(dataset.records[0], case_id="unknown", target_true="something it never says")
    assert knower.chosen(dataset, "any", None, None, progress=False) == dataset
    limited = knower.chosen(dataset, "any", 1, None, progress=False).records
    assert len({record.prompt for record in limited}) == len(limited) < 8
    known = knower.chosen(dataset, "prompt", None, str(tmp_path), progress=False)
    assert {record.case_id for record in known.records} == set(range(8)) and known.digest == dataset.digest
    assert known.spare == ()
    fewer = replace(dataset, records=[*dataset.records, unknown])
    found = knower.chosen(fewer, "prompt", None, str(tmp_path), progress=False)
    assert found.spare == (unknown,) and unknown not in found.records


def test_a_corrected_config_is_another_model(knowing, tmp_path, monkeypatch):
    """Its weights are the same, what it knows need not be."""
    settings = KnownFactsSettings(model_name="tiny", quiet=True)
    knower = known_by(*tiny_llama(), settings)
    knower.verdict(knowing[1], "prompt", str(tmp_path), progress=False)
    monkeypatch.setattr(module, "judge", never)
    assert known_by(*tiny_llama(), settings).verdict(knowing[1], "prompt", str(tmp_path), progress=False)
    with pytest.raises(AssertionError, match="judged again"):
        known_by(*tiny_llama(rms_norm_eps=0.1), settings).verdict(knowing[1], "prompt", str(tmp_path), progress=False)


def test_nowhere_to_keep_it(knowing, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --data_dir"):
        knowing[0].verdict(knowing[1], "prompt", str(tmp_path / "file"), progress=False)
