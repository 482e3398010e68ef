import json

import pytest
import torch

from tests.tiny import TINY
from util import modeling
from util.errors import UserError
from util.modeling import (
    attention_modules,
    decoder_layers,
    layer_count,
    load,
    max_length,
    module,
    module_names,
    resolve_device,
    usual_target_layer,
)
from util.tokens import encode


def test_parts_of_a_model(family):
    model, _ = TINY[family]()
    assert layer_count(model) == len(decoder_layers(model)) == 4
    assert max_length(model, 4096) == 128 and max_length(model, 50) == 50
    with pytest.raises(UserError, match=r"no module 'a\.b'"):
        module(model, "a.b")


def test_a_model_without_decoder_layers_is_refused(family):
    model, _ = TINY[family]()
    model.config.num_hidden_layers = 9
    with pytest.raises(UserError, match="9 decoder layers"):
        decoder_layers(model)


def test_load_from_a_folder_in_the_dtype_asked_for(tmp_path, family):
    model, tok = TINY[family]()
    model.bfloat16().save_pretrained(tmp_path / "tiny")
    tok.save_pretrained(tmp_path / "tiny")
    for dtype, expected in (("float32", torch.float32), ("auto", torch.bfloat16)):
        loaded, loaded_tok = load("tiny", tmp_path, "cpu", dtype)
        assert loaded.dtype == expected and not loaded.training
        assert encode(loaded_tok, "Ada is") == encode(tok, "Ada is")


def test_weights_that_lack_or_do_not_fit_are_not_drawn_at_random(saved):
    config = json.loads((saved / "tiny" / "config.json").read_text())
    for changes, words in (
        ({"num_hidden_layers": 5}, r"9 weights .* model\.layers\.4\.input"),
        ({"vocab_size": 99}, r"2 weights .* lm_head"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "optimum"),
    ):
        (saved / "tiny" / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(UserError, match=words):
            load("tiny", saved, "cpu")


def test_missing_models_say_where_they_were_looked_for(tmp_path):
    with pytest.raises(UserError, match="Nowhere-1B") as caught:
        load("Nowhere-1B", tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "words"), [("warp", "no device"), ("cuda:99", "--device")])
def test_devices(name, words):
    with pytest.raises(UserError, match=words):
        resolve_device(name)
    assert resolve_device("cpu").type == "cpu"


def test_dtypes():
    with pytest.raises(UserError, match="float32"):
        load("world", dtype="int3")


def test_parts_that_cannot_be_told_are_named(family):
    model, _ = TINY[family]()
    attribute = {"llama": "down_proj", "gpt2": "c_proj"}[family]
    setattr(decoder_layers(model)[2].mlp, attribute, torch.nn.AdaptiveAvgPool1d(24))
    with pytest.raises(UserError, match="^no down-projection in layer 2 can"):
        module_names(model)


def test_a_model_without_norm_head_or_attention():
    for spoil, words in (("norm", "^no final norm can"), ("lm_head", "^no head can")):
        model, _ = TINY["llama"]()
        if spoil == "norm":
            model.model.norm = torch.nn.Identity()
        else:
            model.set_output_embeddings(None)
        with pytest.raises(UserError, match=words):
            module_names(model)
    decoder_layers(model)[1].self_attn = torch.nn.Identity()
    with pytest.raises(UserError, match="layer 1 .* no attention"):
        attention_modules(model)


@pytest.mark.parametrize(
    ("model_type", "layers", "target"),
    [("llama", 32, 21), ("llama", 28, 18), ("qwen3", 36, 11), ("gpt2", 4, 2), ("gpt2", 1, 0)],
)
def test_the_usual_depth_gives_the_published_layers(model_type, layers, target):
    model, _ = TINY["llama"]()
    model.config.model_type, model.config.num_hidden_layers = model_type, layers
    assert usual_target_layer(model) == target


def does_not_fit(*_args):
    raise torch.OutOfMemoryError("pretended")


@pytest.fixture
def saved(tmp_path):
    model, tok = TINY["llama"]()
    model.save_pretrained(tmp_path / "tiny")
    tok.save_pretrained(tmp_path / "tiny")
    return tmp_path


def test_a_model_that_does_not_fit_says_what_helps(saved, monkeypatch):
    monkeypatch.setattr("transformers.LlamaForCausalLM.to", does_not_fit)
    with pytest.raises(UserError, match="bfloat16"):
        load("tiny", saved, "cpu")


@pytest.mark.parametrize(("places", "words"), [({"": 0, "lm_head": 1}, None), ({"": 0, "lm_head": "cpu"}, "together")])
def test_a_model_that_does_not_fit_one_gpu_is_spread(saved, monkeypatch, places, words):
    """The GPUs are pretended: what is tested is when the spreading starts, and that the CPU is refused."""
    real, maps = modeling.AutoModelForCausalLM.from_pretrained, []

    def pretended(source, device_map=None, **options):
        model = real(source, **options)
        if device_map:
            maps.append(device_map)
            model.hf_device_map = places
        return model

    monkeypatch.setattr(modeling.AutoModelForCausalLM, "from_pretrained", pretended)
    monkeypatch.setattr("transformers.LlamaForCausalLM.to", does_not_fit)
    monkeypatch.setattr(modeling, "is_accelerate_available", lambda: True)
    if words:
        with pytest.raises(UserError, match=words):
            load("tiny", saved)
    else:
        assert load("tiny", saved)[0].hf_device_map == places
    assert maps == ["auto"]
    monkeypatch.setattr(modeling, "is_accelerate_available", lambda: False)
    with pytest.raises(UserError, match="accelerate"):
        load("tiny", saved)
