import pytest
import torch
from torch import nn

from tests.families import build
from tests.tiny import TINY
from util.anatomy import down_projections
from util.modeling import decoder_layers


class Renamed(nn.Module):
    """An MLP whose parts are called what says nothing, beside a narrower map of one position, behind it."""

    def __init__(self, size: int, inner: int):
        super().__init__()
        self.out_proj, self.o_proj = nn.Linear(inner, size), nn.Linear(size, inner)
        self.down_proj, self.gate = nn.Linear(4, size), nn.Linear(size, 4)

    def forward(self, hidden):
        return self.out_proj(torch.relu(self.o_proj(hidden))) + self.down_proj(torch.tanh(self.gate(hidden)))


def test_it_is_told_by_what_it_does_not_by_its_name(family):
    model, _ = TINY[family]()
    torch.manual_seed(0)
    layers = decoder_layers(model)
    for layer in layers:
        layer.mlp = Renamed(24, 44)
    assert down_projections(model, layers) == ["mlp.out_proj"] * 4


def test_a_mixer_is_no_mlp():
    """A sum over earlier positions in the MLP's place adds to the stream, and sees more than its own position."""

    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.down_proj = nn.Linear(24, 24)

        def forward(self, hidden):
            return self.down_proj(hidden.cumsum(1))

    model, _ = TINY["llama"]()
    model.model.layers[2].mlp = Mixer()
    assert down_projections(model, model.model.layers) == ["mlp.down_proj", "mlp.down_proj", None, "mlp.down_proj"]


@pytest.mark.parametrize("normed", ["llama", "gpt2", "gemma2", "gemma3", "gemma4", "olmo2", "glm4"])
def test_behind_a_norm_that_weighs_channels_unevenly(normed):
    """As trained norms do: in Gemma 3 a few channels have most of the weight."""
    model, named = build(normed)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(torch.randn_like(parameter).exp())
    name = named["rewrite_module_tmp"].rpartition("{}.")[2]
    assert down_projections(model, decoder_layers(model)) == [name] * 4


def test_it_leaves_the_model_as_it_was(family):
    model, _ = TINY[family]()
    model.train()
    down_projections(model, decoder_layers(model))
    assert model.training and all(one.requires_grad and one.grad is None for one in model.parameters())
    assert all(not part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_in_any_precision(family, dtype):
    model, _ = TINY[family]()
    assert len(set(down_projections(model.to(dtype), decoder_layers(model)))) == 1
