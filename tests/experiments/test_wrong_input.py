"""Wrong input: one line on stderr that names the culprit and the remedy, exit code 2, no run folder."""

import functools

import pytest
import torch

from experiments import evaluate, sweep
from util import modeling
from util.runs import cli


@pytest.fixture
def work(shared, monkeypatch, tmp_path):
    """The same models and files for every case, results of its own."""
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    shared.results = tmp_path / "results"
    return shared


def refusal(capfd, main, argv) -> str:
    """The one line."""
    with pytest.raises(SystemExit) as exit_info:
        cli(lambda _: main(argv))
    said = capfd.readouterr()
    assert exit_info.value.code == 2
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err and said.out == ""
    return said.err


@pytest.mark.parametrize(
    ("changes", "culprit", "remedy"),
    [
        ({"alg_name": "Foo"}, "Foo", "ZeroUnlearn"),
        ({"ds_name": "foo"}, "'foo'", "mcf"),
        ({"ds_name": "absent/facts.jsonl"}, "absent/facts.jsonl", "existing"),
        ({"hparams_fname": "absent.json"}, "absent.json", "exist"),
        ({"model_name": "Absent"}, "Absent", "--model_path_dir"),
        ({"model_path_dir": "/absent"}, "/absent", "--model_path_dir"),
        ({"unlearn_num": 0}, "unlearn_num", "at least 1"),
        ({"unlearn_num": "many"}, "--unlearn_num", "--help"),
        ({"unlearn_num": -3}, "unlearn_num", "at least 1"),
        ({"retain_num": -1}, "retain_num", "0"),
        ({"num_edits": -1}, "num_edits", "0"),
        ({"ratio_or_num": "ratio", "ratio": 1.5}, "ratio", "at most 1"),
        ({"ratio_or_num": "ratio", "ratio": "nan"}, "ratio", "at most 1"),
        ({"edit_layer_nums": 0}, "edit_layer_nums", "at least 1"),
        ({"edit_layer_nums": 3}, "edit_layer_nums", "2"),
        ({"dataset_size_limit": 0}, "dataset_size_limit", "at least 1"),
        ({"batch_tokens": 0}, "batch_tokens", "auto"),
        ({"batch_tokens": "x"}, "batch_tokens", "auto"),
        ({"device": "abacus"}, "abacus", "cpu"),
        ({"dtype": "float8"}, "float8", "float32"),
        ({"ppl": "foo"}, "foo", "heldout"),
        ({"neutral_target": " "}, "neutral_target", "give a text"),
        ({"chat_template": "user"}, "has no chat template", "leave --chat_template out"),
        ({"chat_template": "system"}, "'system'", "assistant"),
        ({"chat_template": "user", "compat": "published"}, "--compat published", "leave out --chat_template"),
        ({"seed": "x"}, "--seed", "--help"),
        ({"seed": 10**20}, "--seed", "at most 9 digits"),
        ({"device": "meta"}, "meta", "cpu"),
        ({"unlearn": 3}, "--unlearn", "--help"),
        ({"downstream_eval_steps": -1}, "downstream_eval_steps", "0"),
        ({"downstream_limit": 5}, "--downstream_limit", "--downstream_eval_steps 1"),
        ({"downstream_eval_steps": 1, "downstream_limit": 0}, "--downstream_limit 0", "at least 1"),
        ({"downstream_eval_steps": 1, "downstream_tasks": "foo"}, "'foo'", "sst2"),
        ({"downstream_eval_steps": 1, "downstream_tasks": "nli"}, "nli", "--downstream_data"),
        ({"downstream_eval_steps": 1, "downstream_data": "absent.json"}, "absent.json", "give a JSON file"),
    ],
)
def test_flags(work, capfd, changes, culprit, remedy):
    line = refusal(capfd, evaluate.main, work.arguments(**changes))
    assert culprit in line and remedy in line
    assert work.runs() == []


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"a_key_of_no_use": 1}, "a_key_of_no_use"),
        ({"leave_out": "v_lr"}, "v_lr"),
        ({"v_lr": "fast"}, "v_lr"),
        ({"v_lr": -0.1}, "v_lr"),
        ({"layers": [1, 9]}, "layer"),
        ({"layers": []}, "layers"),
        ({"layers": [2, 1]}, "layers"),
        ({"v_loss_layer": 99}, "v_loss_layer"),
        ({"rewrite_module_tmp": "model.layers.{}.mlp.nothing"}, "mlp.nothing"),
        ({"rewrite_module_tmp": "model.layers.{}.input_layernorm"}, "rewrite_module_tmp"),
        ({"mom2_dataset": "absent.txt"}, "absent.txt"),
        ({"mom2_dataset": "no name at all"}, "no name at all"),
    ],
)
def test_hparams(work, capfd, changes, culprit):
    path = work.hparams("wrong.json", **changes)
    assert culprit in refusal(capfd, evaluate.main, work.arguments(hparams_fname=path))
    assert work.runs() == []


DEEP, LONG = "[" * 100_000, "1" * 5000
"""What json refuses with other errors than its own."""


@pytest.mark.parametrize("text", ["{", "[]", "", "\xff\x00", DEEP, LONG])
def test_hparams_that_are_no_object(work, capfd, text):
    path = work.write("wrong.json", text)
    assert path in refusal(capfd, evaluate.main, work.arguments(hparams_fname=path))


@pytest.mark.parametrize(
    ("name", "text", "culprit"),
    [
        ("x.jsonl", '{"prompt": "She was born in", "subject": "Ada", "target_true": "London"}', "{}"),
        ("x.jsonl", '{"prompt": "{} was born in", "subject": "", "target_true": "London"}', "subject"),
        ("x.jsonl", '{"prompt": "{} was born in", "target_true": "London"}', "subject"),
        ("x.jsonl", '{"prompt": "{} was born in", "subject": "Ada", "target_true": 4}', "target_true"),
        ("x.jsonl", '{"colour": "red"}', "colour"),
        ("x.json", "[]", "x.json"),
        ("x.json", '[{"prompt": "{} was born in", "subject": "Ada", "target_tr', "x.json"),
        ("x.jsonl", "", "x.jsonl"),
        *((name, text, "is not complete JSON") for name in ("x.json", "x.jsonl") for text in (DEEP, LONG)),
    ],
)
def test_data(work, capfd, name, text, culprit):
    path = work.write(name, text)
    line = refusal(capfd, evaluate.main, work.arguments(ds_name=path))
    assert culprit in line and path in line and line.count(path) == 1
    assert work.runs() == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_no_cuda(work, capfd, device):
    line = refusal(capfd, evaluate.main, work.arguments(device=device))
    assert device in line and "--device cpu" in line


def test_a_model_is_not_saved_over_another(work, capfd):
    line = refusal(capfd, evaluate.main, work.arguments(save_model=str(work.folder / "models" / "Tiny")))
    assert "--save_model" in line
    assert work.runs() == []


def test_a_model_that_cannot_be_saved_is_told_before_the_work(work, capfd, monkeypatch):
    monkeypatch.setattr(modeling, "load", lambda *_: pytest.fail("the model was loaded first"))
    line = refusal(capfd, evaluate.main, work.arguments(save_model=str(work.folder / "corpus.txt" / "model")))
    assert "corpus.txt" in line and "another --save_model" in line


def test_results_that_cannot_be_written_are_told_before_the_work(work, capfd, monkeypatch):
    monkeypatch.setattr(modeling, "load", lambda *_: pytest.fail("the model was loaded first"))
    line = refusal(capfd, evaluate.main, work.arguments(results_dir=str(work.folder / "corpus.txt")))
    assert "--results_dir" in line


def test_a_corpus_for_the_perplexity_is_needed(work, capfd):
    line = refusal(capfd, evaluate.main, work.arguments(ppl="wikitext2"))
    assert "wikitext2" in line.casefold().replace("-", "") and "--ppl" in line
    assert work.runs() == []


def test_a_model_that_overflows_before_any_edit_is_told(work, capfd, monkeypatch):
    load = modeling.load

    def overflowing(*args):
        model, tokenizer = load(*args)
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.data *= 1e38
        return model, tokenizer

    monkeypatch.setattr(modeling, "load", overflowing)
    flags = {"alg_name": "BASE", "hparams_fname": work.write("base.json", "{}"), "ppl": "none"}
    line = refusal(capfd, evaluate.main, [*work.arguments(**flags), "--use_cache", "--quiet"])
    assert "--dtype float32" in line and "no finite probability" in line
    assert list(work.results.rglob("*.json")) == []


@pytest.mark.parametrize(
    "flag", ["model_name", "model_path_dir", "hparams_fname", "ds_name", "data_dir", "results_dir"]
)
@pytest.mark.parametrize("path", ["x" * 300, "facts.jsonl/below"], ids=["too long", "below a file"])
def test_paths_that_cannot_be(work, capfd, flag, path):
    given = str(work.folder / path)
    line = refusal(capfd, evaluate.main, work.arguments(**{flag: given, "ppl": "wikitext2"}))
    assert given in line or "xxx" in line
    assert work.runs() == []


def test_a_model_whose_name_is_misspelt_is_told_before_its_hparams(work, capfd):
    line = refusal(capfd, evaluate.main, ["--model_name", "wrold"])
    assert "no model 'wrold'" in line and "correct --model_name" in line


def test_the_world_has_no_such_data_set(work, capfd):
    assert "cf" in refusal(capfd, evaluate.main, ["--ds_name", "cf", "--results_dir", str(work.results)])
    assert work.runs() == []


@pytest.mark.parametrize(
    ("argv", "culprit"),
    [
        (["--methods", "Foo"], "Foo"),
        (["--methods", "ROME,Foo"], "Foo"),
        (["--datasets", "foo"], "'foo'"),
        (["--seeds", "x"], "--seeds"),
        (["--unlearn_num", "0"], "unlearn_num"),
    ],
)
def test_sweep(work, capfd, argv, culprit):
    main = functools.partial(sweep.main)
    given = work.arguments(alg_name=None, ds_name=None) + ["--datasets", str(work.folder / "facts.jsonl")]
    assert culprit in refusal(capfd, main, given + argv)
    assert work.runs() == []


def test_missing_weights_are_told_before_anything_is_fetched(work, capfd, monkeypatch):
    """The published command, with nobody's weights in place: no data set is asked for first."""
    monkeypatch.setattr("experiments.running.session.read_dataset", lambda *_: pytest.fail("data was read"))
    name = "Llama-3.1-8B-Instruct"
    published = [
        "--alg_name",
        "ZeroUnlearn",
        "--model_name",
        name,
        "--hparams_fname",
        f"{name}.json",
        "--ds_name",
        "mcf",
    ]
    published += ["--unlearn_num", "50", "--retain_num", "1000", "--model_path_dir", "/path/to/models"]
    monkeypatch.delenv("ZEROUNLEARN_HPARAMS", raising=False)
    line = refusal(capfd, evaluate.main, published)
    assert "weights" in line and "/path/to/models/Llama-3.1-8B-Instruct" in line


@pytest.mark.parametrize("files", [[], ["config.json"], ["model.safetensors"]])
def test_a_model_folder_without_its_files_is_told_before_any_data_is_fetched(work, capfd, tmp_path, files):
    folder = tmp_path / "Llama-3.1-8B-Instruct"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    flags = ["--model_name", folder.name, "--model_path_dir", str(tmp_path), "--data_dir", str(tmp_path / "data")]
    line = refusal(capfd, evaluate.main, [*flags, "--results_dir", str(tmp_path / "results")])
    assert str(folder) in line and "weights" in line
    assert all(
        f"no {name}" in line for name in {"config.json", "*.safetensors"} - {f.replace("model", "*") for f in files}
    )
