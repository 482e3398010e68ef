"""known_facts.py's file and evaluate.py's own --known draw the same facts."""

import json

import pytest

from experiments import evaluate, known_facts
from tests.experiments.known import saved
from tests.experiments.small import Workplace, read
from tests.tiny import tiny_llama
from util import modeling
from util.errors import UserError


def case_ids(work: Workplace) -> dict:
    return read(work.runs()[-1], "run.json")["case_ids"]


def test_counts_file_and_runs(tmp_path, capsys):
    model, tokenizer = tiny_llama()
    _, facts = saved(model, tokenizer, tmp_path, 12)
    rows = json.loads(facts.read_text())
    unknown = [row | {"target_true": "xylophone"} for row in rows]
    both = [{"case_id": i, **row} for i, row in enumerate(unknown + rows)]
    facts.write_text(json.dumps(both))
    work = Workplace(tmp_path / "work")
    output = tmp_path / "known.json"
    where = ["--model_name", str(tmp_path / "tiny"), "--device", "cpu", "--data_dir", str(work.folder / "data")]
    known_facts.main([*where, "--ds_name", str(facts), "--known", "prompt", "--output", str(output), "--quiet"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["|", "relation", "|", "any", "|", "prompt", "|"]
    assert said[-2].split() == ["|", "all", "|", "24", "|", "12", "|"]
    assert said[-1] == f"{output}: 12 facts"
    assert {row["case_id"] for row in json.loads(output.read_text())} == set(range(12, 24))
    drawn = []
    for changes in ({"ds_name": facts, "known": "prompt"}, {"ds_name": output}):
        own = {"alg_name": "BASE", "hparams_fname": None, "model_path_dir": None, "ppl": "none"}
        own |= {"retain_num": 2}
        evaluate.main([*work.arguments(model_name=tmp_path / "tiny", **own, **changes), "--quiet"])
        drawn.append(case_ids(work))
        summary = read(work.runs()[-1], "summary.json")
        assert summary["base"]["efficacy"] == summary["base"]["retain"] == 100
        assert summary["n"] == {
            "efficacy": 3,
            "generalization": 0,
            "specificity": summary["n"]["specificity"],
            "retain": 2,
        }
        assert 0 <= summary["chance"] <= 100
    assert drawn[0] == drawn[1] and set(drawn[0]["forget"]) <= set(range(12, 24))


def test_the_defaults_run(tmp_path, capsys):
    known_facts.main(["--dataset_size_limit=5", "--device=cpu", "--quiet", f"--data_dir={tmp_path}"])
    assert capsys.readouterr().out.splitlines()[-1].split()[:4] == ["|", "all", "|", "5"]
    assert [*(tmp_path / "known").glob("mcf-strict-*")]


def test_a_folder_for_the_file_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(modeling, "load", None)
    with pytest.raises(UserError, match="is a folder; name a file with --output"):
        known_facts.main([f"--output={tmp_path}", f"--data_dir={tmp_path}", "--device=cpu"])


def test_at_most_per_relation(tmp_path):
    work = Workplace(tmp_path)
    work.write(
        "two.jsonl",
        "".join(
            json.dumps({"prompt": p, "subject": f"{i}", "target_true": "x"}) + "\n"
            for i in range(6)
            for p in ("{} a", "{} b")
        ),
    )
    own = {"alg_name": "BASE", "hparams_fname": None, "ppl": "none", "ds_name": work.folder / "two.jsonl"}
    evaluate.main([*work.arguments(**own, max_per_relation=2, retain_num=9, unlearn_num=9), "--quiet"])
    assert read(work.runs()[-1], "run.json")["data"]["records"] == 4
