"""Downstream tasks in runs: before and after, in which steps, once per session, from the hub, and what is refused."""

import json
import socket
from importlib.util import find_spec

import datasets
import pytest

from experiments import evaluate, sweep
from experiments.downstream import scores
from experiments.downstream.scores import Downstream
from experiments.running import run as unlearn
from tests.experiments.downstream_rows import ROWS
from tests.experiments.small import Workplace, read
from tests.experiments.test_wrong_input import refusal
from util import modeling
from util.runs import cli
from util.weights import weights_hash

needs_harness = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm_eval (requirements-extra.txt)")
KEYS = {"sst2", "mrpc", "mrpc_f1", "cola", "rte", "nli", "mnli", "mmlu"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    work = Workplace(tmp_path_factory.mktemp("workplace"))
    work.write("rows.json", json.dumps(ROWS))
    return work


@pytest.fixture
def work(shared, monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(shared.folder / "stats"))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something asks the network"))
    shared.results = tmp_path / "results"
    return shared


def asking(work, *more, **changes) -> list[str]:
    """A command line with downstream tasks of the file."""
    flags = {"ppl": "none", "downstream_eval_steps": 1, "downstream_data": work.folder / "rows.json"}
    flags["hparams_fname"] = work.hparams("mild.json", projector="none")
    return [*work.arguments(**flags | changes), "--skip_generation_tests", *more]


@pytest.fixture
def counted(monkeypatch):
    """Fingerprints of the models that downstream tasks were scored on."""
    seen = []

    def measure(self, model, *args, real=Downstream.measure, **options):
        seen.append(weights_hash(model))
        return real(self, model, *args, **options)

    monkeypatch.setattr(Downstream, "measure", measure)
    return seen


@needs_harness
def test_before_and_after(work, counted, capfd, monkeypatch):
    loaded = []
    load = modeling.load
    monkeypatch.setattr(modeling, "load", lambda *args: loaded.append(load(*args)) or loaded[-1])
    cli(lambda _: evaluate.main(asking(work, "--quiet")))
    (folder,) = work.runs()
    assert capfd.readouterr() == (f"run: {folder}\n", "")
    summary, run, rows = read(folder, "summary.json"), read(folder, "run.json"), read(folder, "downstream.jsonl")
    assert set(summary["base"]) >= KEYS and set(summary["unlearned"]) >= KEYS
    assert summary["unlearned"] == read(folder, "steps.jsonl")[0]["unlearned"]
    fresh, _ = load("Tiny", work.folder / "models", "cpu")
    assert counted[0] == weights_hash(fresh) == weights_hash(loaded[0][0]) != counted[1]
    for name in ("sst2", "nli", "mmlu"):
        own = [row for row in rows if row["task"] == name]
        assert sorted(row["row"] for row in own) == list(range(len(ROWS[name])))
        for side, scored in (("before", "base"), ("after", "unlearned")):
            share = sum(row[side]["right"] for row in own) / len(own)
            assert summary[scored][name] == pytest.approx(100 * share)
    assert all(row["before"]["log_likelihoods"] != row["after"]["log_likelihoods"] for row in rows)
    recorded = run["downstream"]
    assert recorded["path"] == str(work.folder / "rows.json") and len(recorded["identity"]["digest"]) == 64
    assert recorded["identity"]["tasks"]["nli"] == {"version": 1.0, "rows": 2}
    assert recorded["identity"]["tasks"]["mmlu_virology"]["rows"] == 2


@needs_harness
def test_tasks_and_rows_may_be_chosen(work):
    evaluate.main(asking(work, "--downstream_tasks", "nli", "cola", "--downstream_limit", "1"))
    (folder,) = work.runs()
    assert set(read(folder, "summary.json")["base"]) & KEYS == {"nli", "cola"}
    assert [(row["task"], row["row"]) for row in read(folder, "downstream.jsonl")] == [("cola", 0), ("nli", 0)]


def test_without_the_flag_there_is_no_trace_of_them(work):
    evaluate.main(work.arguments(ppl="none"))
    (folder,) = work.runs()
    assert not set(read(folder, "summary.json")["base"]) & KEYS
    assert read(folder, "run.json")["downstream"] is None
    assert not (folder / "downstream.jsonl").exists()


@needs_harness
@pytest.mark.parametrize(("every", "scored"), [(1, [1, 2, 3]), (2, [2, 3]), (9, [3])])
def test_every_nth_step_and_the_last(work, counted, every, scored):
    evaluate.main(asking(work, unlearn_num=3, num_edits=1, downstream_eval_steps=every))
    (folder,) = work.runs()
    steps = read(folder, "steps.jsonl")
    assert [step["step"] for step in steps if set(step["unlearned"]) >= KEYS] == scored
    assert all(not set(step["unlearned"]) & KEYS for step in steps if step["step"] not in scored)
    assert len(counted) == 1 + len(scored)
    assert read(folder, "summary.json")["unlearned"] == steps[-1]["unlearned"]


@needs_harness
def test_a_collapse_between_two_measurements_leaves_none(work, monkeypatch):
    monkeypatch.setattr(unlearn, "exploded", lambda *_: "broken")
    evaluate.main(asking(work, num_edits=1, downstream_eval_steps=2))
    (folder,) = work.runs()
    summary = read(folder, "summary.json")
    assert summary["collapse"]["step"] == 1
    assert {summary["unlearned"][key] for key in KEYS} == {None}
    assert all(row["after"] is None and row["before"] for row in read(folder, "downstream.jsonl"))


@needs_harness
def test_base_is_scored_once_for_all_runs_of_a_sweep(work, counted, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "hparams" / "ZeroUnlearn"
    own.mkdir(parents=True)
    (own / "hparams.json").write_bytes((work.folder / "hparams.json").read_bytes())
    monkeypatch.setenv("ZEROUNLEARN_HPARAMS", str(tmp_path / "hparams"))
    flags = asking(work, "--datasets", str(work.folder / "facts.jsonl"), "--seeds", "0", "1", "--quiet")
    flags = flags[: flags.index("--alg_name")] + flags[flags.index("--alg_name") + 2 :]
    flags = flags[: flags.index("--ds_name")] + flags[flags.index("--ds_name") + 2 :]
    flags[flags.index("--hparams_fname") + 1] = "hparams.json"
    sweep.main(flags)
    assert len(counted) == 3 and len(set(counted)) == 3
    sweep.main(flags)
    assert len(counted) == 3


@needs_harness
def test_base_is_cached_and_runs_are_finished_by_what_was_asked(work, counted):
    rows = work.write("other.json", json.dumps({"sst2": ROWS["sst2"]}))
    evaluate.main(asking(work, "--use_cache", "--continue_from_run", downstream_data=rows))
    assert len(counted) == 2
    evaluate.main(asking(work, "--use_cache", downstream_data=rows))
    assert len(counted) == 3
    evaluate.main(asking(work, "--use_cache", "--continue_from_run", downstream_data=rows))
    assert len(counted) == 3
    work.write("other.json", json.dumps({"sst2": ROWS["sst2"][:1]}))
    for more in ([], ["--downstream_limit", "1"]):
        before = len(counted)
        evaluate.main(asking(work, "--use_cache", "--continue_from_run", *more, downstream_data=rows))
        assert len(counted) == before + 2
    summaries = [read(folder, "summary.json") for folder in work.runs() if folder.parent.name == "ZeroUnlearn"]
    assert summaries[0]["base"] == summaries[1]["base"] and len(summaries) == 4


# --- the hub


def served(path, name, **_):
    """A stand-in for `datasets.load_dataset`: each GLUE set's rows, two questions for each MMLU subject."""
    if path == "nyu-mll/glue":
        rows = datasets.Dataset.from_list([row | {"idx": 0} for row in ROWS[name]])
        return {"train": rows, "validation": rows, "validation_matched": rows}
    assert path == "cais/mmlu"
    question = ROWS["mmlu"][0] | {"subject": name}
    rows = datasets.Dataset.from_list([question, question | {"answer": int(name == "anatomy")}])
    return {"test": rows, "dev": rows}


@needs_harness
def test_the_harnesss_own_data(work, monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", served)
    evaluate.main(asking(work, "--downstream_limit", "2", downstream_data=None))
    (folder,) = work.runs()
    summary, run = read(folder, "summary.json"), read(folder, "run.json")
    assert set(summary["base"]) & KEYS == KEYS - {"nli"}
    identity = run["downstream"]["identity"]
    assert run["downstream"]["path"] is None and len(identity["digest"]) == 64
    assert sum(part.startswith("mmlu_") for part in identity["tasks"]) == 57
    rows = [row for row in read(folder, "downstream.jsonl") if row["task"] == "mmlu"]
    assert len(rows) == 2 * 57
    assert summary["base"]["mmlu"] == pytest.approx(100 * sum(row["before"]["right"] for row in rows) / len(rows))


@needs_harness
def test_data_that_cannot_be_fetched(work, capfd, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach\nthe hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    line = refusal(capfd, evaluate.main, asking(work, "--downstream_tasks", "sst2", downstream_data=None))
    assert "data of sst2" in line and "Couldn't reach the hub" in line and "--downstream_data" in line
    assert work.runs() == []


# --- refusals


def test_rows_are_checked_before_the_model_is_loaded(work, capfd, monkeypatch):
    monkeypatch.setattr(modeling, "load", lambda *_: pytest.fail("the model was loaded first"))
    path = work.write("wrong.json", json.dumps({"rte": [ROWS["rte"][0], {"sentence1": "a", "label": 0}]}))
    line = refusal(capfd, evaluate.main, asking(work, downstream_data=path))
    assert path in line and "rte row 1 has no sentence2" in line
    assert work.runs() == []


def test_an_empty_file_name_is_not_the_hub(work, capfd):
    line = refusal(capfd, evaluate.main, asking(work, downstream_data=""))
    assert "--downstream_data" in line and "cannot be read" in line


def test_without_the_harness_the_way_to_it_is_told(work, capfd, monkeypatch):
    monkeypatch.setattr(modeling, "load", lambda *_: pytest.fail("the model was loaded first"))
    monkeypatch.setattr(scores, "find_spec", lambda _: None)
    line = refusal(capfd, evaluate.main, asking(work))
    assert "pip install -r requirements-extra.txt" in line and "--downstream_eval_steps" in line
