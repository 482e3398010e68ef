"""patch.py from its command line; the adapter that it exports, loaded by peft."""

import importlib.util
import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from experiments import patch as script
from experiments.requests.patches import Patch
from tests.experiments.requests.small_edit import patch_of, write_patch
from tests.tiny import TINY, tiny_llama
from util import modeling
from util.errors import UserError
from util.weights import weights_hash


@pytest.fixture(params=TINY)
def place(request, tmp_path, monkeypatch):
    """A working directory with models/Tiny and p.safetensors, a patch of two layers of it."""
    model, tokenizer = TINY[request.param]()
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "models" / "Tiny")
    write_patch(tmp_path / "p.safetensors", model, layers=(1, 2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(text: str) -> None:
    script.main(text.split())


TINY_MODEL = "--model_name Tiny --model_path_dir models"


def loaded(folder):
    return weights_hash(modeling.load(str(folder), device="cpu")[0])


def test_apply_verify_and_revert(place, capsys):
    base = loaded(place / "models" / "Tiny")
    run(f"apply --patch p.safetensors {TINY_MODEL} --save_model forgotten")
    assert loaded(place / "forgotten") == Patch.read(place / "p.safetensors").origin.edited != base
    run("revert --patch p.safetensors --model_name forgotten --save_model again")
    assert loaded(place / "again") == base
    capsys.readouterr()
    run("verify --patch p.safetensors --model_name again")
    assert "again is the patch's base; apply and revert lead back to the bit" in capsys.readouterr().out
    run("verify --patch p.safetensors --model_name forgotten")
    out = capsys.readouterr().out
    assert "forgotten is what the patch makes of its base" in out and "MEMIT, 3 fact(s), from world" in out


def test_compose_writes_the_sum_and_says_the_word(place, capsys):
    model, _ = modeling.load("models/Tiny", device="cpu")
    write_patch(place / "q.safetensors", model, layers=(2,), seed=7)
    run(f"compose p.safetensors q.safetensors --output both.safetensors {TINY_MODEL}")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "closest input directions at cosine" in said[0]
    assert said[1].split(":")[0] in ("compatible", "conflict")
    run(f"apply --patch both.safetensors {TINY_MODEL} --save_model both")
    run("revert --patch both.safetensors --model_name both --save_model again")
    assert loaded(place / "again") == loaded(place / "models" / "Tiny")
    with pytest.raises(UserError, match="world"):  # found by the name that the patch has, another model here
        run("compose p.safetensors q.safetensors --output third.safetensors")


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")
def test_peft_loads_the_adapter_and_says_the_same(place, capsys):
    """Exact up to float32: the same logits as the patched model; other ranks in other modules."""
    from peft import PeftModel

    model, tokenizer = modeling.load("models/Tiny", device="cpu")
    write_patch(place / "wide.safetensors", model, layers=(2,), rank=5, seed=7)
    run(f"compose p.safetensors wide.safetensors --output both.safetensors {TINY_MODEL}")
    run(f"export --peft adapter --patch both.safetensors {TINY_MODEL}")
    config = json.loads((place / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == 8 and list(config["rank_pattern"].values()) == [3]
    ids = tokenizer("Ada Lovelace was born in", return_tensors="pt")
    before = model(**ids).logits
    with_adapter = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained("models/Tiny"), str(place / "adapter")
    ).eval()
    Patch.read(place / "both.safetensors").apply(model)
    after = model(**ids).logits
    torch.testing.assert_close(with_adapter(**ids).logits, after, atol=1e-4, rtol=1e-4)
    assert (after - before).abs().max() > 1e-2


def test_a_lower_rank_has_its_error_told(place, capsys):
    run(f"export --peft adapter --patch p.safetensors {TINY_MODEL} --rank 2")
    out = capsys.readouterr().out
    errors = [float(line.rpartition(" ")[2]) for line in out.splitlines()[:-1]]
    assert "rank 2" in out and all(1e-2 < error < 1 for error in errors)
    run(f"export --peft whole --patch p.safetensors {TINY_MODEL}")
    errors = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()[:-1]]
    assert all(error < 1e-5 for error in errors)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("apply --patch p.safetensors --model_name models/Tiny", "--save_model is missing"),
        ("apply --patch p.safetensors --model_name models/Tiny --save_model models/Tiny", "exists; name a new one"),
        ("apply --patch none.safetensors --model_name models/Tiny --save_model x", "does not exist"),
        ("apply --patch models/Tiny/model.safetensors --model_name models/Tiny --save_model x", "is no patch of ours"),
        ("apply --patch p.safetensors --model_name other --save_model x", "another hash.; name the model"),
        ("revert --patch p.safetensors --model_name models/Tiny --save_model x", "nothing is left to do"),
        ("verify --patch p.safetensors --model_name other", "another hash.; name the model"),
        ("verify --patch p.safetensors --model_name models/Tiny --rank 3", "does not read --rank"),
        ("verify q.safetensors --patch p.safetensors --model_name models/Tiny", "1 patches without a flag; give none"),
        ("compose p.safetensors --output x", "1 patches without a flag; give 2"),
        ("compose p.safetensors o.safetensors --output x --model_name models/Tiny", "different bases"),
        ("compose p.safetensors p.safetensors --output x --model_name other", "not the base of the patches"),
        ("compose p.safetensors p.safetensors --output p.safetensors", "exists; name a new one"),
        ("compose p.safetensors p.safetensors --output models", "is a folder; name a file with --output"),
        ("export --patch p.safetensors --model_name models/Tiny --peft x --rank 0", "--rank 0: give at least 1"),
        ("export --patch p.safetensors --model_name other --peft x", "not the patch's base"),
        ("turn", "invalid choice"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(line, words, tmp_path, monkeypatch):
    for name, seed in (("models/Tiny", 0), ("other", 1)):
        model, tokenizer = tiny_llama(seed=seed)
        for part in (model, tokenizer):
            part.save_pretrained(tmp_path / name)
        patch_of(model).write(tmp_path / f"{name[0].replace('m', 'p')}.safetensors")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=words):
        run(line)
    assert sorted(tmp_path.rglob("*")) == before
