import pytest
import torch
from torch import nn

from tests.families import build
from tests.tiny import TINY
from util.editing.passage import Passage, measure
from util.errors import UserError
from util.hooks import patch
from util.modeling import decoder_layers, module


@pytest.mark.parametrize("gain", [torch.tensor(0.22), torch.linspace(-2, -0.1, 5)])
def test_back_undoes_through(gain):
    passage, inside, delta = Passage(gain), torch.randn(3, 5), torch.randn(3, 5)
    arrived = passage.through(inside, delta)
    torch.testing.assert_close(arrived, gain * delta)
    torch.testing.assert_close(passage.back(inside.T, arrived.T), delta.T)


def test_behind_a_norm_what_can_be_made_is_made_and_a_large_change_in_part():
    norm = nn.RMSNorm(5)
    norm.weight.data[:] = torch.linspace(0.5, 2, 5)
    passage, V = Passage(torch.tensor(0.7), norm), torch.randn(5, 3)
    can_be = passage.through(V.T, (V.roll(1, 0) - V).T).T.detach()
    for wanted, left in ((can_be, 1e-5), (50 * can_be, 1)):
        made = passage.through(V.T, passage.back(V, wanted).T).T
        assert (made - wanted).norm() / wanted.norm() < left
    torch.testing.assert_close((V + passage.back(V, can_be)).square().mean(0), V.square().mean(0))


@pytest.mark.parametrize("scale", [0.3, -2.0, torch.linspace(0.2, 3, 24)])
def test_a_scale_that_no_configuration_names_is_measured(family, scale):
    model, _ = TINY[family]()
    name = next(name for name, part in model.named_modules() if part is decoder_layers(model)[1].mlp)
    down = f"{name}.{'c_proj' if family == 'gpt2' else 'down_proj'}"
    assert measure(model, 1, down) is None
    with patch(module(model, name), lambda hidden: hidden * scale):
        torch.testing.assert_close(measure(model, 1, down).gain_O, torch.as_tensor(scale), rtol=1e-4, atol=1e-5)


def test_a_gate_behind_the_mlp_is_refused(family):
    model, _ = TINY[family]()
    name = next(name for name, part in model.named_modules() if part is decoder_layers(model)[1].mlp)
    down = f"{name}.{'c_proj' if family == 'gpt2' else 'down_proj'}"
    with (
        patch(module(model, name), torch.sigmoid),
        pytest.raises(UserError, match="does not enter the residual stream"),
    ):
        measure(model, 1, down)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("family", "gain"), [("llama", None), ("granite", 0.22)])
def test_in_half_precision_a_passage_is_what_it_is(family, gain, dtype):
    model, names = build(family)
    passage = measure(model.to(dtype), 1, names["rewrite_module_tmp"].format(1))
    assert passage is None if gain is None else abs(passage.gain_O.item() - gain) < 0.01 * gain


def test_a_layer_that_does_not_call_the_module_is_named():
    model, names = build("llama")
    with pytest.raises(UserError, match="does not call the module"):
        measure(model, 1, names["rewrite_module_tmp"].format(2))
