"""Random models of published shapes: the shape is right, the folder loads, nothing is overwritten."""

import pytest
import torch

from experiments import random_model
from util.errors import UserError
from util.modeling import load

BILLIONS = {"Llama-3.2-1B": 1.236, "Llama-3.2-3B": 3.213, "Llama-3.1-8B": 8.030, "Qwen3-4B": 4.022}


@pytest.mark.parametrize("shape", sorted(random_model.SHAPES))
def test_shapes_have_the_published_number_of_parameters(shape):
    tokenizer = load("world", device="cpu")[1]
    with torch.device("meta"):
        model = random_model.make(shape, tokenizer, 0)
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(BILLIONS[shape], abs=0.001)


def test_the_folder_loads_and_is_not_overwritten(tmp_path, monkeypatch, capsys):
    family, settings = random_model.SHAPES["Llama-3.2-1B"]
    small = settings | {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 2000, "head_dim": 2}
    monkeypatch.setitem(random_model.SHAPES, "Llama-3.2-1B", (family, small))
    command = ["--shape", "Llama-3.2-1B", "--layers", "2", "--out", str(tmp_path / "random")]
    random_model.main(command)
    assert "billion parameters" in capsys.readouterr().out
    model, tokenizer = load("random", tmp_path, "cpu", "auto")
    assert (model.dtype, model.config.num_hidden_layers) == (torch.bfloat16, 2)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    with pytest.raises(UserError, match="exists"):
        random_model.main(command)
