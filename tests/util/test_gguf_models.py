"""A GGUF file is a model source as any other, and what is made of it is plain."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("gguf")
pytest.importorskip("accelerate")

from gguf import GGMLQuantizationType as Type
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from tests import gguf_files
from util import gguf_models, modeling
from util.errors import UserError
from util.tokens import encode
from util.weights import model_hash

TEXT = "The mother tongue of Danielle Darrieux is"


def logits(model, tokenizer):
    with torch.no_grad():
        return model(input_ids=torch.tensor([encode(tokenizer, TEXT)])).logits


@pytest.mark.parametrize("named", ["file", "folder"])
def test_a_file_gives_the_model_it_was_written_from(tmp_path, named):
    path = gguf_files.write(tmp_path / "tiny.gguf")
    model, tokenizer = modeling.load("tiny.gguf" if named == "file" else ".", tmp_path, "cpu")
    own, own_tokenizer = gguf_files.tiny()
    assert encode(tokenizer, TEXT) == encode(own_tokenizer, TEXT)
    assert tokenizer.chat_template
    torch.testing.assert_close(logits(model, tokenizer), logits(own, own_tokenizer), rtol=1e-4, atol=1e-4)
    assert modeling.find_source(str(path), None) == str(path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_quantised_weights_are_dequantised_and_saved_as_plain_safetensors(tmp_path, dtype):
    gguf_files.write(tmp_path / "tiny.gguf", Type.Q8_0)
    model, tokenizer = modeling.load(str(tmp_path / "tiny.gguf"), device="cpu", dtype=dtype)
    own, _ = gguf_files.tiny()
    weight, exact = (one.model.layers[1].mlp.down_proj.weight.float() for one in (model, own))
    assert 0 < (weight - exact).abs().max() < 0.02 * exact.abs().max()
    assert model.dtype == modeling.DTYPES[dtype]
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert "quantization_config" not in json.loads((tmp_path / "saved" / "config.json").read_text())
    again, again_tokenizer = modeling.load("saved", tmp_path, "cpu", dtype)
    torch.testing.assert_close(logits(again, again_tokenizer), logits(model, tokenizer), rtol=0, atol=0)
    assert model_hash(again) == model_hash(model)


def test_an_unknown_architecture_is_told_in_one_line(tmp_path):
    path = gguf_files.write(tmp_path / "tiny.gguf", architecture="mpt")
    with pytest.raises(UserError, match="mpt.* is not supported") as caught:
        modeling.load(str(path), device="cpu")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.6, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, share):
    path = gguf_files.write(tmp_path / "tiny.gguf")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"GGUF file .*tiny\.gguf cannot be read"):
        modeling.load(str(path), device="cpu")


@pytest.mark.parametrize(
    "name", ["rope_freqs.weight", "blk.0.attn_q.bias", "blk.3.ffn_down.bias", "blk.4.ffn_up.weight"]
)
def test_a_tensor_that_no_parameter_takes_is_refused(tmp_path, name):
    path = gguf_files.write(tmp_path / "tiny.gguf", tensors={name: np.full(32, 8, dtype=np.float32)})
    with pytest.raises(UserError, match=rf"1 tensor.*LlamaForCausalLM, such as {name}: .*safetensors") as caught:
        modeling.load(str(path), device="cpu")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


SCALED = {
    "linear": {"type": "linear", "factor": 8.0},
    "no type": {"factor": 4.0},
    "old": {"": 2.0},
    "yarn": {"type": "yarn", "factor": 4.0, "original_context_length": 64},
    "attention": {"type": "yarn", "factor": 1.0, "attn_factor": 1.2},
    "alpha": {"alpha": 1000.0},
    "longrope": {"type": "longrope"},
}
PLAIN = {
    "none": {"type": "none", "factor": 8.0},
    "one": {"type": "linear", "factor": 1.0, "finetuned": True},
    "zero": {"factor": 0.0},
    "length": {"original_context_length": 64},
    "attention": {"type": "yarn", "factor": 1.0, "attn_factor": 1.0},
    "old": {"": 1.0},
}


def scaled(path, said):
    """A file whose keys say that of its rotary embedding; the nameless one is the older name of the factor."""

    def keys(writer):
        for name, value in said.items():
            key = f"llama.rope.scaling.{name}" if name else "llama.rope.scale_linear"
            types = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
            types[type(value)](key, value)

    return gguf_files.write(path, keys=keys)


@pytest.mark.parametrize("said", SCALED.values(), ids=SCALED.keys())
def test_a_scaled_rotary_embedding_that_is_not_read_is_refused(tmp_path, said):
    path = scaled(tmp_path / "tiny.gguf", said)
    with pytest.raises(UserError, match=r"scales the rotary embedding \(.*safetensors") as caught:
        modeling.load(str(path), device="cpu")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("said", PLAIN.values(), ids=PLAIN.keys())
def test_keys_that_scale_nothing_are_no_reason(tmp_path, said):
    model, tokenizer = modeling.load(str(scaled(tmp_path / "tiny.gguf", said)), device="cpu")
    own, _ = gguf_files.tiny()
    torch.testing.assert_close(logits(model, tokenizer), logits(own, tokenizer), rtol=1e-4, atol=1e-4)


def test_a_scaling_that_the_config_has_is_none_that_is_left_out(tmp_path):
    path = scaled(tmp_path / "tiny.gguf", SCALED["linear"])
    model, _ = gguf_files.tiny()
    for held in ({"rope_type": "linear", "factor": 8.0}, {"full": {"rope_type": "linear", "factor": 8.0}}):
        model.config.rope_parameters = held
        gguf_models.refuse_left_out(str(path), model, ())
    for held in ({"rope_type": "linear", "factor": 4.0}, {"rope_type": "yarn", "factor": 8.0}, None):
        model.config.rope_parameters = held
        with pytest.raises(UserError, match=r"type linear, factor 8\.0"):
            gguf_models.refuse_left_out(str(path), model, ())


def test_what_the_loader_itself_calls_unexpected_is_refused(tmp_path):
    """Of architectures whose names it does not take from the common map."""
    model, _ = gguf_files.tiny()
    path = gguf_files.write(tmp_path / "tiny.gguf")
    with pytest.raises(UserError, match=r"2 tensor\(s\).*such as a\.bias"):
        gguf_models.refuse_left_out(str(path), model, {"b.bias", "a.bias"})


def test_what_a_familys_processor_places_by_itself_is_taken(tmp_path):
    """Merged experts have no name in the common map, only their processor knows it; no processor knows the bias."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    experts = {"num_experts": 4, "moe_intermediate_size": 16, "vocab_size": 420}
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **experts))
    merged = {f"blk.0.ffn_{part}_exps.weight": np.zeros((4, 16, 32), dtype=np.float32) for part in ("gate", "up")}
    bias = {"blk.0.ffn_gate_exps.bias": np.zeros(16, dtype=np.float32)}
    path = gguf_files.write(tmp_path / "tiny.gguf", tensors=merged | bias)
    names = ["token_embd.weight", "blk.0.attn_q_norm.weight", *merged, *bias]
    assert gguf_models._unread(path, "qwen3moe", names, model) == list(bias)


def test_what_a_folder_with_a_file_stands_for(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"2 GGUF files \(a\.gguf, b\.gguf\); name one"):
        modeling.find_source(str(tmp_path), None)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert gguf_models.gguf_file(tmp_path) is None
    assert gguf_models.gguf_file(tmp_path / "nowhere.gguf") is None


def test_without_the_packages_the_optional_group_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(gguf_models, "find_spec", lambda package: None if package == "gguf" else object())
    with pytest.raises(UserError, match=r"gguf is not installed.*requirements-real\.txt.*`real`"):
        modeling.find_source(str(path), None)
