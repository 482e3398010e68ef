"""evaluate.py from the command line to the files, on a tiny random model."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from baselines import npo
from baselines.registry import METHODS
from experiments import collect_stats, evaluate
from experiments.running import identity, versions
from experiments.running import run as unlearn
from tests.experiments.small import hparams_of, read, without_times
from tests.tiny import TEXT, tokenizer
from util import modeling
from util.runs import cli
from util.weights import WeightEdits, weights_hash

METRICS = {"efficacy", "generalization", "specificity", "retain", "same_subject", "success", "difference", "ppl"}
METRICS |= {"entropy", "reference", "silent"}


def test_the_run_folder(work, capsys):
    evaluate.main(work.arguments())
    (folder,) = work.runs()
    assert folder == work.results / "ZeroUnlearn" / "Tiny_facts_seed0_unlearn3_retain4_run_000"
    assert {path.name for path in folder.iterdir()} >= {"params.json", "run.json", "forget.jsonl", "retain.jsonl"}
    summary = read(folder, "summary.json")
    assert set(summary["base"]) == set(summary["unlearned"]) == METRICS
    assert set(summary["seconds"]) == {"load", "statistics", "keys", "targets", "solve", "evaluate", "total"}
    assert summary["peak_memory_bytes"] > 0
    run = read(folder, "run.json")
    facts, retained = read(folder, "forget.jsonl"), read(folder, "retain.jsonl")
    assert [fact["case_id"] for fact in facts] == run["case_ids"]["forget"]
    assert [fact["case_id"] for fact in retained] == run["case_ids"]["retain"]
    assert all(fact["before"] and fact["after"] for fact in facts + retained)
    assert any(fact["before"] != fact["after"] for fact in facts)
    assert run["context_templates"][0] == ["{}"]
    assert run["statistics"] and all(set(one) == {"count", "documents"} for one in run["statistics"].values())
    said = capsys.readouterr().out
    assert "Base" in said and "ZeroUnlearn" in said and str(folder) in said


def test_what_the_model_writes_is_measured_and_kept_unless_it_is_skipped(work):
    evaluate.main(work.arguments(ppl="none"))
    evaluate.main([*work.arguments(ppl="none"), "--skip_generation_tests"])
    written, skipped = work.runs()
    for side in ("base", "unlearned"):
        assert read(written, "summary.json")[side]["entropy"] > 0
        assert read(skipped, "summary.json")[side]["entropy"] is None
    for fact in read(written, "forget.jsonl"):
        (prompt,) = fact["before"]["generated"].keys() & fact["after"]["generated"].keys()
        assert prompt == f"{fact['subject']} spent a youth in"
    assert all(fact["after"]["generated"] == {} for fact in read(skipped, "forget.jsonl"))


def test_the_same_seed_gives_the_same_bytes_but_for_times(work):
    for seed in (0, 0, 1):
        evaluate.main(work.arguments(seed=seed))
    first, second, other = work.runs()
    assert json.dumps(without_times(first)) == json.dumps(without_times(second))
    for name in ("params.json", "forget.jsonl", "retain.jsonl", "steps.jsonl"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert read(other, "run.json")["case_ids"] != read(first, "run.json")["case_ids"]


def test_base_changes_nothing(work):
    evaluate.main(work.arguments(alg_name="BASE", hparams_fname=None, ppl="none"))
    summary = read(work.runs()[0], "summary.json")
    assert summary["base"] == summary["unlearned"]
    assert summary["base"]["ppl"] is None


@pytest.mark.untraced
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"BASE"}))
def test_the_model_is_put_back_and_the_saved_one_is_the_edited(work, monkeypatch, tmp_path, method):
    loaded = []
    load = modeling.load
    monkeypatch.setattr(modeling, "load", lambda *args: loaded.append(load(*args)) or loaded[-1])
    saved = tmp_path / "saved" / "model"
    evaluate.main(work.arguments(alg_name=method, hparams_fname=hparams_of(work, method), save_model=saved, ppl="none"))
    (model, _), (fresh, _) = loaded[0], load("Tiny", work.folder / "models", "cpu")
    assert weights_hash(model) == weights_hash(fresh)
    edited = AutoModelForCausalLM.from_pretrained(saved)
    changed = [n for n, p in edited.named_parameters() if not torch.equal(p, fresh.get_parameter(n))]
    assert changed
    assert all("down_proj" in name for name in changed)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_sequential_steps_are_scored_each_and_see_the_ones_before(work, monkeypatch):
    seen = []
    from zerounlearn import apply_to_model

    def watched(model, tokenizer, requests, hparams, *, previous=None, **options):
        seen.append((len(requests), previous))
        return apply_to_model(model, tokenizer, requests, hparams, previous=previous, **options)

    monkeypatch.setattr("zerounlearn.apply_to_model", watched)
    evaluate.main(work.arguments(unlearn_num=5, num_edits=2))
    assert [count for count, _ in seen] == [2, 2, 1]
    assert seen[0][1] is None
    assert all(isinstance(previous, WeightEdits) for _, previous in seen[1:])
    steps = read(work.runs()[0], "steps.jsonl")
    assert [(step["step"], step["facts"]) for step in steps] == [(1, 2), (2, 4), (3, 5)]
    assert steps[-1]["unlearned"] == read(work.runs()[0], "summary.json")["unlearned"]
    assert steps[0]["unlearned"] != steps[-1]["unlearned"]


def test_a_collapse_ends_the_run_and_is_no_success(work, monkeypatch):
    def broken(model, tokenizer, requests, hparams, *, previous=None, **options):
        edits = WeightEdits()
        name = hparams.rewrite_module(1)
        weight = model.get_submodule(name).weight.detach()
        edits.write(model, name, weight * (float("nan") if previous else 2.0))
        return edits

    monkeypatch.setattr("zerounlearn.apply_to_model", broken)
    evaluate.main(work.arguments(unlearn_num=6, num_edits=2, ppl="none"))
    summary = read(work.runs()[0], "summary.json")
    assert summary["collapse"]["step"] == 2
    assert summary["collapse"]["facts"] == 4
    assert summary["unlearned"] == dict.fromkeys(METRICS)
    assert len(read(work.runs()[0], "steps.jsonl")) == 2


def test_an_exploding_perplexity_is_a_collapse():
    assert unlearn.exploded({"ppl": 4.0}, {"ppl": 2000.0})
    assert unlearn.exploded({"ppl": 4.0}, {"ppl": float("inf")})
    assert not unlearn.exploded({"ppl": 4.0}, {"ppl": 5.0})
    assert not unlearn.exploded({"ppl": None}, {"ppl": None})


def test_continue_from_run_does_a_finished_run_once(work, capsys):
    for changes in ({}, {}, {"unlearn_num": 2}, {"neutral_target": "unknown"}, {"edit_layer_nums": 1}):
        evaluate.main([*work.arguments(**changes), "--continue_from_run"])
    names = [folder.name for folder in work.runs()]
    stem = "Tiny_facts_seed0_unlearn{}_retain4_run_{}"
    assert names == sorted([stem.format(2, "000"), *(stem.format(3, f"00{i}") for i in range(3))])
    assert "finished before" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["SCORING", "METHOD"])
def test_a_run_of_other_code_is_not_taken_as_finished(work, capsys, monkeypatch, place):
    flags = [*work.arguments(alg_name="FT", hparams_fname=hparams_of(work, "FT"), ppl="none"), "--continue_from_run"]
    evaluate.main(flags)
    monkeypatch.setattr(versions if place == "SCORING" else identity, place, -1)
    evaluate.main(flags)
    assert len(work.runs()) == 2 and "finished before" not in capsys.readouterr().out
    evaluate.main(flags)
    assert len(work.runs()) == 2 and "finished before" in capsys.readouterr().out


def test_no_method_trains_on_a_fact_that_is_scored(work, monkeypatch):
    given = []
    real = npo.apply_to_model
    monkeypatch.setattr(npo, "apply_to_model", lambda *a, **k: given.extend(k["retain_requests"]) or real(*a, **k))
    evaluate.main(work.arguments(alg_name="NPO", hparams_fname=hparams_of(work, "NPO"), ppl="none", retain_num=1000))
    case_ids = read(work.runs()[0], "run.json")["case_ids"]
    assert [request.case_id for request in given] == case_ids["training"] and len(given) == 3
    assert not {*case_ids["training"]} & {*case_ids["forget"], *case_ids["retain"], *case_ids["same_subject"]}


def test_an_interrupted_run_leaves_nothing_that_looks_finished(work, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("zerounlearn.apply_to_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.main(work.arguments())
    assert work.runs() == []


def test_base_scores_are_reused_from_the_cache(work, monkeypatch):
    evaluate.main([*work.arguments(), "--use_cache"])
    counted = []
    from experiments.running import measurer

    monkeypatch.setattr(measurer, "measure", lambda *a, real=measurer.measure, **k: counted.append(1) or real(*a, **k))
    evaluate.main([*work.arguments(), "--use_cache"])
    assert len(counted) == 1
    first, second = (folder for folder in work.runs() if folder.parent.name == "ZeroUnlearn")
    assert json.dumps(without_times(first)) == json.dumps(without_times(second))


def test_quiet_says_little(work, capfd):
    mild = work.hparams("mild.json", projector="none")  # which takes nothing from others that would be warned of
    cli(lambda _: evaluate.main([*work.arguments(hparams_fname=mild), "--quiet"]))
    said = capfd.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [f"run: {work.runs()[0]}"]


def done_before(work, capsys, **changes):
    evaluate.main([*work.arguments(**changes), "--continue_from_run"])
    return "finished before" in capsys.readouterr().out


def test_a_run_on_another_corpus_or_text_or_tolerance_is_another_run(work, capsys, tmp_path):
    def hparams(name, documents):
        path = tmp_path / "corpus.txt"
        path.write_text("\n\n".join(documents), encoding="utf-8")
        return work.hparams(name, mom2_dataset=str(path))

    first = hparams("own.json", TEXT * 4)
    assert not done_before(work, capsys, hparams_fname=first)
    assert done_before(work, capsys, hparams_fname=first)
    assert not done_before(work, capsys, hparams_fname=first, mom2_tolerance=0.5)
    assert not done_before(work, capsys, hparams_fname=hparams("own.json", [*TEXT, "Another text."] * 4))


@pytest.mark.parametrize("other", ["tokenizer", "config"])
def test_a_run_with_another_tokenizer_or_config_is_another_run(work, capsys, tmp_path, other):
    models = tmp_path / "models"
    shutil.copytree(work.folder / "models", models)
    same = {"model_path_dir": models, "ppl": "none", "use_cache": ""}
    flags = [part for part in work.arguments(**same) if part]
    evaluate.main([*flags, "--continue_from_run"])
    if other == "tokenizer":
        tokenizer(bos=False, pad=True).save_pretrained(models / "Tiny")
    else:
        path = models / "Tiny" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"rms_norm_eps": 0.1}))
    evaluate.main([*flags, "--continue_from_run"])
    assert "finished before" not in capsys.readouterr().out
    first, second = (read(folder, "forget.jsonl") for folder in work.runs())
    assert [fact["before"] for fact in first] != [fact["before"] for fact in second]
    evaluate.main([*flags, "--continue_from_run"])
    assert "finished before" in capsys.readouterr().out


def test_a_run_says_what_its_perplexity_was_measured_on(work, capsys):
    base = {"alg_name": "BASE", "hparams_fname": work.write("base.json", "{}"), "data_dir": work.folder / "texts"}
    (work.folder / "texts").mkdir()
    evaluate.main(work.arguments(**base, ppl="none"))
    work.write("texts/wikitext2_test.txt", " ".join(TEXT))
    assert not done_before(work, capsys, **base, ppl="auto")
    assert done_before(work, capsys, **base, ppl="auto")
    work.write("texts/wikitext2_test.txt", " ".join(TEXT[::-1]))
    assert not done_before(work, capsys, **base, ppl="auto")
    none, first, second = (read(folder, "run.json")["hashes"]["ppl_text"] for folder in work.runs())
    assert none[0] == "none" and first[0] == second[0] == "wikitext2"
    assert first != second
    assert [read(folder, "summary.json")["ppl_text"] for folder in work.runs()] == ["none", "wikitext2", "wikitext2"]


def test_a_collapsed_model_is_not_saved_and_that_is_said(work, monkeypatch, caplog):
    monkeypatch.setattr(unlearn, "exploded", lambda *_: "perplexity is not finite")
    saved = work.results.parent / "saved"
    evaluate.main(work.arguments(save_model=saved))
    assert not saved.exists()
    assert f"not saved to {saved}" in caplog.text


def test_what_may_be_left_out(work):
    evaluate.main([*work.arguments(ppl="none"), "--no-eval_retain", "--skip_generation_tests"])
    summary = read(work.runs()[0], "summary.json")
    assert summary["unlearned"]["retain"] is None
    assert summary["unlearned"]["ppl"] is None
    rows = read(work.runs()[0], "retain.jsonl")
    assert len(rows) == summary["retain_num"] and all(row["before"] is row["after"] is None for row in rows)


def test_imported_moments_make_another_run(work, monkeypatch, tmp_path):
    """A run on measured moments is not taken for one on a published file's, and both are told in run.json."""
    from tests.experiments.test_collect_stats import exported

    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "measured"))
    asked = work.arguments(alg_name="MEMIT", hparams_fname=hparams_of(work, "MEMIT"), ppl="none")
    evaluate.main(asked)
    moments = {}
    for path in (tmp_path / "measured").glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            moments[json.loads(file.metadata()["header"])["key"]["module"]] = file.get_tensor("moment")
    files = exported(tmp_path, moments)
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "imported"))
    shared = ("alg_name", "model_name", "model_path_dir", "hparams_fname", "data_dir", "device")
    named = dict(zip(asked[::2], asked[1::2], strict=True))
    common = [part for name in shared for part in (f"--{name}", named[f"--{name}"])]
    collect_stats.main([*common, "--import", *files])
    evaluate.main([*asked, "--continue_from_run"])
    runs = sorted((work.results / "MEMIT").iterdir())
    hashes = [read(run, "run.json")["hashes"]["imported"] for run in runs]
    assert len(runs) == 2 and hashes[0] == {} and len(hashes[1]) == len(files)
