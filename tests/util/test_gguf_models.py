"""A GGUF file is a model source as any other, and what is made of it is plain."""

import json

import pytest
import torch

pytest.importorskip("gguf")
pytest.importorskip("accelerate")

from gguf import GGMLQuantizationType as Type

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
    with pytest.raises(UserError, match="gguf is not installed.*`real`"):
        modeling.find_source(str(path), None)
