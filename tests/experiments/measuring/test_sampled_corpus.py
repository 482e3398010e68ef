"""A corpus that the model itself samples: the same for the same model, and nothing without one."""

import json

import pytest

from experiments import collect_stats, evaluate
from experiments.measuring import sampled_corpus
from experiments.measuring.sampled_corpus import OPENERS, recipe, sampled
from tests.experiments.small import Workplace, read
from tests.tiny import tiny_llama
from util.errors import UserError


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(sampled_corpus, "NEW_TOKENS", 8)


def test_documents(short):
    model, tokenizer = tiny_llama()
    count = len(OPENERS) + 3
    documents = list(sampled(recipe(count), model, tokenizer, progress=False).documents)
    assert documents == list(sampled(recipe(count), model, tokenizer, progress=False).documents)
    assert len(documents) == count and all(
        text.startswith(OPENERS[i % len(OPENERS)]) for i, text in enumerate(documents)
    )
    assert documents[0] != documents[len(OPENERS)]
    assert sampled(recipe(2), model, tokenizer, progress=False).documents[1] == documents[1]
    other, _ = tiny_llama(seed=1)
    assert list(sampled(recipe(3), other, tokenizer, progress=False).documents) != documents[:3]


def test_a_recipe_alone():
    assert recipe(3).digest != recipe(4).digest and len(recipe(3).documents) == 3
    with pytest.raises(UserError, match="no text without its model"):
        list(recipe(3).documents)


def test_a_run_and_its_statistics(short, tmp_path, monkeypatch):
    """collect_stats.py measures what evaluate.py finds; the run says what its statistics are of."""
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    work = Workplace(tmp_path)
    hparams = work.hparams("sampled.json", mom2_dataset="sampled", mom2_n_samples=40)
    where = ["--model_name", "Tiny", "--model_path_dir", str(work.folder / "models"), "--device", "cpu", "--quiet"]
    collect_stats.main([*where, "--hparams_fname", hparams])
    evaluate.main([*work.arguments(hparams_fname=hparams), "--quiet"])
    run = read(work.runs()[-1], "run.json")
    assert {one["documents"] for one in run["statistics"].values()} == {40}
    assert read(work.runs()[-1], "params.json")["mom2_dataset"] == "sampled"
    assert json.dumps(run).count(recipe(40).digest)
    evaluate.main([*work.arguments(alg_name="BASE", hparams_fname=None, ppl="none"), "--quiet"])
