"""unlearn.py from its command line, on a tiny model and facts that it knows; what it leaves, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from dsets import hub
from experiments import unlearn as script
from experiments.requests.unlearning import model_folder, settled_hparams
from experiments.running import reading
from tests.experiments.unlearnable import TEMPLATE, argv, make_place, strong
from tests.tiny import TEXT
from util.errors import UserError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder, facts) of `unlearnable.make_place`."""
    folder = tmp_path_factory.mktemp("unlearn")
    return folder, make_place(folder)


@pytest.fixture
def command(place, work, monkeypatch, tmp_path):
    """(requests …, **flags) → exit code, in a folder of its own for results."""
    monkeypatch.setenv("ZEROUNLEARN_RESULTS", str(tmp_path / "results"))

    def run(*requests, **changes):
        return script.main(argv(place[0], tmp_path, *requests, **{"hparams_fname": strong(work)} | changes))

    return run


def order(fact, name):
    return {"id": name, **fact}


def read(tmp_path):
    return json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))


def test_known_facts_are_unlearned_and_the_report_says_so(place, command, tmp_path, capsys):
    facts = place[1]
    unknown = {"id": "x", "prompt": "{} is", "subject": "Nils Delgado", "target_true": "xyzzy"}
    code = command(order(facts[0], "a"), order(facts[5], "b"), unknown, {"id": "n", "subject": "Quelara Zelfin"})
    report = read(tmp_path)
    rows = {row["id"]: row for row in report["requests"]}
    assert rows["x"]["status"] == "not known" and rows["x"]["after"] is None
    for name in "ab":
        row = rows[name]
        assert row["before"]["rank"] == 1 and row["status"] in ("gone", "weakened", "still there")
        assert row["after"]["probability"] < row["before"]["probability"]
        assert {"prompt", "question", "chat"} <= {one["kind"] for one in row["facts"][0]["wordings"]}
    asked = [row["status"] for row in rows.values() if row["status"] != "not known"]
    assert code == (0 if set(asked) == {"gone"} else 3) and report["all_gone"] == (code == 0)
    assert sum(report["counts"].values()) == 4
    assert report["retain"]["n"] and 0 <= report["retain"]["after"] <= 100
    assert report["provenance"]["edited"] and report["provenance"]["stored_as"] == "bfloat16"
    assert "<html" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "report.json" in capsys.readouterr().out


def test_the_folder_is_a_model_of_the_same_kind(place, command, tmp_path):
    folder, facts = place
    command(order(facts[0], "a"))
    out = tmp_path / "out"
    model = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    before = AutoModelForCausalLM.from_pretrained(folder / "models" / "Tiny", dtype="auto")
    assert model.dtype == torch.bfloat16
    edited = set(read(tmp_path)["provenance"]["edited"])
    for (name, old), new in zip(before.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(old, new) == (name not in edited), name
    assert AutoTokenizer.from_pretrained(out).chat_template == TEMPLATE
    assert (out / "generation_config.json").is_file()
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "MEMIT" in card and facts[0]["subject"] not in card


def test_a_subject_alone_brings_its_facts_and_what_the_model_says(place, command, tmp_path):
    fact = place[1][0]
    command({"id": "s", "subject": fact["subject"]})
    (row,) = read(tmp_path)["requests"]
    prompts = {one["prompt"]: one["answer"] for one in row["facts"]}
    assert prompts[fact["prompt"].replace("{}", fact["subject"])] == fact["target_true"]
    assert row["status"] != "not known"


def test_an_open_prompt_is_what_the_model_says(place, command, tmp_path, monkeypatch):
    fact = place[1][0]
    command({"prompt": fact["prompt"], "subject": fact["subject"]}, dry_run="", save_model=None, report=None)
    assert not (tmp_path / "out").exists() and not (tmp_path / "report").exists()


def test_a_dry_run_estimates_and_writes_nothing(place, command, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    before = set(tmp_path.rglob("*"))
    assert command(order(place[1][0], "a"), dry_run="", save_model=None, report=None) == 0
    told = capsys.readouterr().out
    for word in ("1 fact(s) would be unlearned", "statistics: about", "targets: about", "memory: about", "key overlap"):
        assert word in told
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "requests.jsonl"}


def test_nothing_known_is_nothing_done(command, tmp_path, capsys):
    unknown = {"prompt": "{} is", "subject": "Nils Delgado", "target_true": "xyzzy"}
    assert command(unknown) == 0
    assert not (tmp_path / "out").exists()
    assert read(tmp_path)["requests"][0]["status"] == "not known"
    assert "nothing was known" in capsys.readouterr().out
    assert command(unknown, all="") == 0
    assert (tmp_path / "out" / "config.json").is_file()


def test_a_tilde_before_no_users_name_is_part_of_a_folders_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_folder.check_folder(Path("~nosuchuser/out"), str(tmp_path))
    (tmp_path / "~nosuchuser").mkdir()
    with pytest.raises(UserError, match="is where the model is read from"):
        model_folder.check_folder(Path("~nosuchuser"), "~nosuchuser")


def test_the_model_is_not_written_over_its_source_and_outputs_are_new(place, command, tmp_path):
    folder, facts = place
    with pytest.raises(UserError, match="is where the model is read from"):
        command(order(facts[0], "a"), save_model=folder / "models" / "Tiny")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UserError, match="not an empty folder"):
        command(order(facts[0], "a"), save_model=tmp_path / "full")
    with pytest.raises(UserError, match="--save_patch .* exists"):
        command(order(facts[0], "a"), save_patch=tmp_path / "full" / "x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"save_model": None}, "nothing would be kept"),
        ({"dry_run": ""}, "--dry_run writes nothing"),
        ({"withdraw": "a"}, "--withdraw ID goes with --ledger"),
        ({"requests": None}, "--requests FILE is missing"),
        ({"neutral_target": " "}, "--neutral_target is empty"),
        ({"alg_name": "Telepathy"}, "unknown method 'Telepathy'"),
        ({"alg_name": "BASE"}, "argument --alg_name: BASE forgets nothing; choose one of ZeroUnlearn, "),
        ({"facts_of": "nowhere.json"}, "nowhere.json"),
    ],
)
def test_what_makes_no_sense_is_said(place, command, changes, said):
    with pytest.raises(UserError, match=said):
        command(order(place[1][0], "a"), **changes)


def test_a_full_disk_leaves_nothing(place, command, tmp_path, monkeypatch):
    facts = place[1]
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    with monkeypatch.context() as patched:
        patched.setattr(model_folder.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(UserError, match="0.0 GB free"):
            command(order(facts[0], "a"))

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_folder, "_name_dtype", full)
    with pytest.raises(UserError, match="cannot be written .No space left on device.; nothing was left there"):
        command(order(facts[0], "a"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["requests.jsonl"]


def test_a_ledger_keeps_earlier_requests_and_takes_one_back(place, command, tmp_path):
    facts, ledger = place[1], tmp_path / "ledger"
    command(order(facts[0], "a"), ledger=ledger, save_model=tmp_path / "one")
    command(order(facts[5], "b"), ledger=ledger, save_model=tmp_path / "two")
    assert [row["id"] for row in read(tmp_path)["requests"]] == ["b", "a"]
    command(ledger=ledger, withdraw="b", save_model=tmp_path / "back")
    assert [row["id"] for row in read(tmp_path)["requests"]] == ["a"]
    one, two, back = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "back"))
    assert one == back != two


def test_a_patch_names_no_fact(place, command, tmp_path):
    fact = place[1][0]
    command(order(fact, "a"), save_model=None, save_patch=tmp_path / "a.patch")
    content = (tmp_path / "a.patch").read_bytes()
    assert content and fact["subject"].encode() not in content


def test_a_fact_that_two_requests_ask_for_counts_for_both(place, command, tmp_path):
    """Also where one is withdrawn: the other still asks for it."""
    fact, ledger = place[1][0], tmp_path / "ledger"
    command({"id": "s", "subject": fact["subject"]}, order(fact, "f"), ledger=ledger, save_model=tmp_path / "both")
    rows = {row["id"]: row for row in read(tmp_path)["requests"]}
    (own,) = rows["f"]["facts"]
    assert rows["f"]["status"] != "not known" and own in rows["s"]["facts"]
    command(ledger=ledger, withdraw="f", save_model=tmp_path / "one")
    assert [row["id"] for row in read(tmp_path)["requests"]] == ["s"]
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == (
        tmp_path / "both" / "model.safetensors"
    ).read_bytes()
    command(ledger=ledger, withdraw="s", save_model=tmp_path / "none")
    assert read(tmp_path)["requests"] == []
    base = AutoModelForCausalLM.from_pretrained(place[0] / "models" / "Tiny", dtype="auto").state_dict()
    assert all(torch.equal(base[name], one) for name, one in load_file(tmp_path / "none" / "model.safetensors").items())


def test_a_ledger_protects_facts_that_are_not_watched(place, command, work, tmp_path):
    fact, ledger = place[1][0], tmp_path / "ledger"
    command(
        order(fact, "a"), ledger=ledger, hparams_fname=strong(work, "ZeroUnlearn_Local"), alg_name="ZeroUnlearn_Local"
    )
    terms = json.loads((ledger / "records" / "000001.json").read_text(encoding="utf-8"))["body"]
    kept = {one["prompt"].replace("{}", one["subject"]) for one in terms["protected"]}
    assert kept and read(tmp_path)["retain"]["n"] <= len(place[1]) - len(kept)


def test_an_id_with_another_fact_is_told_before_anything_is_made(place, command, tmp_path):
    facts, ledger = place[1], tmp_path / "ledger"
    command(order(facts[0], "a"), ledger=ledger)
    records = sorted((ledger / "records").iterdir())
    with pytest.raises(UserError, match="'a' stands in the ledger with another fact"):
        command(order(facts[5], "a"), ledger=ledger, save_model=tmp_path / "other")
    assert sorted((ledger / "records").iterdir()) == records and not (tmp_path / "other").exists()


def test_a_folder_that_is_no_ledger_is_left_alone(place, command, tmp_path):
    with pytest.raises(UserError, match="there is no ledger in"):
        command(withdraw="a", ledger=tmp_path / "none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(UserError, match="exists and is no ledger"):
        command(order(place[1][0], "a"), ledger=tmp_path / "mine")
    assert not (tmp_path / "none").exists() and len(list((tmp_path / "mine").iterdir())) == 1


@pytest.mark.parametrize("measured_on", ["another corpus", "the model's own"])
def test_a_model_without_a_file_gets_hparams_and_a_corpus(place, command, tmp_path, monkeypatch, measured_on):
    """No hub, no statistics: module names and layers from the model, and what stands for the corpus."""
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    monkeypatch.setattr(hub, "refusal", lambda repository: "no network")
    text = tmp_path / "corpus.txt"
    text.write_text("\n\n".join(TEXT * 2), encoding="utf-8")
    stands = {
        "wikimedia/wikipedia:20231101.en": str(text if measured_on == "another corpus" else tmp_path / "absent.txt")
    }
    monkeypatch.setattr(reading, "STANDS_FOR", stands)
    monkeypatch.setattr(settled_hparams, "SAMPLED", 3)
    command(order(place[1][0], "a"), hparams_fname=None, data_dir=tmp_path / "data")
    made = read(tmp_path)["provenance"]
    assert made["hparams_from"].startswith("made from those of Llama-3.1-8B-Instruct; layers")
    assert made["hparams"]["rewrite_module_tmp"] == "model.layers.{}.mlp.down_proj"
    assert made["corpus"]["instead_of"] == "wikimedia/wikipedia:20231101.en"
    assert made["corpus"]["name"] == (str(text) if measured_on == "another corpus" else "sampled")
    assert made["edited"]


def test_a_method_without_a_file_to_start_from_needs_one(place, command, monkeypatch):
    monkeypatch.setattr(settled_hparams, "LIKE", "a model that no method has a file of")
    with pytest.raises(UserError, match="hparams of MEMIT for Tiny cannot be made from another model's"):
        command(order(place[1][0], "a"), hparams_fname=None)
