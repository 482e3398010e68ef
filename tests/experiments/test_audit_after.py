"""audit.py on what was edited here: a patch, and the folder of a run, which is made again; what it refuses."""

import json
import shutil

import pytest

from experiments import audit, evaluate
from experiments.running import remaking
from tests.experiments.known import known_facts
from tests.experiments.requests.small_edit import patch_of, write_patch
from tests.experiments.small import hparams_of
from tests.tiny import tiny_llama
from util.errors import UserError
from util.weights import model_hash


@pytest.fixture(scope="module")
def run_of(shared, tmp_path_factory):
    """(folder of a sequential MEMIT run on facts that the tiny model knows, the model that it saved)."""
    folder = tmp_path_factory.mktemp("run")
    model, tok = tiny_llama()
    facts = shared.write("known.json", json.dumps(known_facts(model, tok, 12)))
    shared.results = folder / "results"
    flags = {"alg_name": "MEMIT", "hparams_fname": hparams_of(shared, "MEMIT"), "ds_name": facts, "ppl": "none"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ZEROUNLEARN_STATS", str(shared.folder / "stats"))
        evaluate.main([*shared.arguments(**flags, num_edits=2, save_model=folder / "saved"), "--quiet"])
    (made,) = shared.runs()
    return made, folder / "saved"


def audited(work, output, **changes) -> dict:
    flags = {"before": "Tiny", "output": output, "model_path_dir": work.folder / "models", "device": "cpu"} | changes
    given = [part for name, value in flags.items() if value is not None for part in (f"--{name}", str(value))]
    audit.main(["--quiet", *given, "--attacks", "prompt"])
    return json.loads((output / "audit.json").read_text())


def test_a_run_is_made_again_to_the_bit_and_knows_its_facts(work, run_of, tmp_path):
    run, saved = run_of
    again = audited(work, tmp_path / "run", after=run)
    weights = audited(work, tmp_path / "saved", after=saved, facts=work.folder / "known.json")
    assert again["made_from"]["key"]["after"] == weights["made_from"]["key"]["after"]
    told = [json.loads(line) for line in (run / "forget.jsonl").read_text().splitlines()]
    assert {one["case_id"] for one in again["facts"]} <= {one["case_id"] for one in told}
    assert again["made_from"]["given"] == len(told) == 3
    assert again["made_from"]["facts"] == str(run)


def test_a_run_of_an_earlier_version_named_a_share_that_nobody_gave(work, run_of, tmp_path, caplog):
    run, _ = run_of
    copy = tmp_path / "results" / "MEMIT" / "copy"
    shutil.copytree(run, copy)
    told = json.loads((copy / "run.json").read_text())
    told["arguments"]["ratio"] = 0.1
    (copy / "run.json").write_text(json.dumps(told))
    audited(work, tmp_path / "out", after=copy)
    assert "--ratio" not in caplog.text


def test_a_run_that_would_not_be_the_same_is_refused(work, run_of, tmp_path, monkeypatch):
    run, saved = run_of
    copy = tmp_path / "results" / "MEMIT" / "copy"
    told = json.loads((run / "run.json").read_text())
    for change, said in {
        "identity": "no identity: it is from an older release",
        "hashes": "its corpus is not what it was",
        "model": "no hash of its model: it is from an older release",
        "case_ids": "draws other facts",
    }.items():
        shutil.copytree(run, copy, dirs_exist_ok=True)
        other = {key: value for key, value in told.items() if key != change}
        if change == "hashes":
            other["hashes"] = told["hashes"] | {"corpus": "0"}
        if change == "model":
            other["hashes"] = {name: value for name, value in told["hashes"].items() if name != "model"}
        if change == "case_ids":
            other["case_ids"] = {"forget": [0]}
        (copy / "run.json").write_text(json.dumps(other))
        with pytest.raises(UserError, match=said):
            audited(work, tmp_path / "out", after=copy)
    with pytest.raises(UserError, match="run on another model than --before; its own is 'Tiny'"):
        audited(work, tmp_path / "out", after=run, before=saved, model_path_dir=None)
    shutil.copytree(run, copy, dirs_exist_ok=True)
    (copy / "summary.json").write_text(json.dumps({"collapse": {"step": 1}}))
    with pytest.raises(UserError, match="collapsed"):
        audited(work, tmp_path / "out", after=copy)
    monkeypatch.setattr(remaking, "METHOD", 0)
    with pytest.raises(UserError, match=r"methods have changed since the run; name the folder that .* --save_model"):
        audited(work, tmp_path / "out", after=run)


def test_a_record_without_what_makes_it_again_is_refused(work, tmp_path):
    (tmp_path / "record").mkdir()
    (tmp_path / "record" / "summary.json").write_text("{}")
    with pytest.raises(UserError, match="--save_model, or a patch with unlearn.py --save_patch"):
        audited(work, tmp_path / "out", after=tmp_path / "record")


def test_a_patch_is_put_on_the_model_before(work, tmp_path):
    model, tok = tiny_llama()
    facts = work.write("known.json", json.dumps(known_facts(model, tok, 4)))
    write_patch(tmp_path / "p.safetensors", model, layers=(1, 2))
    found = audited(work, tmp_path / "out", after=tmp_path / "p.safetensors", facts=facts)
    patch_of(model, layers=(1, 2)).apply(model)
    assert found["made_from"]["key"]["after"] == model_hash(model)
    assert found["made_from"]["key"]["after"] != found["made_from"]["key"]["before"]


def test_a_patch_of_another_model_and_one_that_is_not_there_are_refused(work, tmp_path):
    facts = work.write("known.json", json.dumps(known_facts(*tiny_llama(), 4)))
    write_patch(tmp_path / "other.safetensors", tiny_llama(seed=1)[0], layers=(1,))
    for name, said in {"other": "the model is not the base of this patch", "none": "does not exist"}.items():
        with pytest.raises(UserError, match=said):
            audited(work, tmp_path / "out", after=tmp_path / f"{name}.safetensors", facts=facts)
    with pytest.raises(UserError, match="--facts is missing; only the folder of a run"):
        audited(work, tmp_path / "out", after=tmp_path / "other.safetensors")
