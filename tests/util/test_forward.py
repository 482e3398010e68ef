import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.families import COMMON
from tests.tiny import TINY
from util.errors import UserError
from util.forward import check_logits, final_hidden, project, relative_error, run
from util.tokens import encode, pad


def test_hidden_and_project_are_the_models_own_logits(tiny):
    model, tok = tiny
    batch = pad([encode(tok, "The capital of Northland is")])
    with torch.no_grad():
        own = model(input_ids=batch.input_ids).logits
        torch.testing.assert_close(project(model, final_hidden(model, batch)), own)


def test_project_is_what_the_models_own_forward_makes_of_hidden_states(family):
    """A family nobody has seen, which does to its logits what no configuration names."""
    model, _ = TINY[family]()
    own = type(model)
    model.__class__ = type("Scaled", (own,), {"forward": lambda self, **inputs: _scaled(own.forward(self, **inputs))})
    hidden = torch.randn(2, 3, 24, requires_grad=True)
    torch.testing.assert_close(project(model, hidden), 5 * torch.tanh(model.lm_head(hidden) / 7))
    project(model, hidden).sum().backward()
    assert hidden.grad.abs().sum() > 0
    assert project(model, hidden[:0]).shape == (0, 3, 420)
    check_logits(model)


def _scaled(output):
    output.logits = 5 * torch.tanh(output.logits / 7)
    return output


def test_the_backbone_is_as_before_also_when_the_head_raises(family):
    model, _ = TINY[family]()
    with pytest.raises(RuntimeError):
        project(model, torch.randn(2, 7))
    assert all("forward" not in part.__dict__ for part in model.modules())


def test_a_model_that_reads_itself_otherwise_is_refused(family):
    """Logits that a second text path changes: what the final hidden states and the head give is not the model's."""
    model, _ = TINY[family]()
    own = type(model)

    def forward(self, input_ids, **inputs):
        output = own.forward(self, input_ids=input_ids, **inputs)
        output.logits = output.logits + input_ids[..., None] * torch.arange(420) / 1e4
        return output

    model.__class__ = type("Copying", (own,), {"forward": forward})
    with pytest.raises(UserError, match="^Copying gives other logits than its final hidden states and its head"):
        check_logits(model)


def test_a_model_that_reads_ahead_is_refused():
    config = AutoConfig.for_model("bert", **COMMON)
    with pytest.raises(UserError, match="no causal model"):
        check_logits(AutoModelForCausalLM.from_config(config).eval())


def test_a_model_whose_code_wants_something_else_is_one_line(family):
    model, _ = TINY[family]()
    own = type(model)
    model.__class__ = type("Picky", (own,), {"forward": lambda self, pixels, **inputs: None})
    with pytest.raises(UserError, match="^Picky does not run .* TypeError") as caught:
        check_logits(model)
    assert "\n" not in str(caught.value)


def test_logits_that_are_not_finite_are_left_to_those_who_measure(family):
    model, _ = TINY[family]()
    model.lm_head.weight.data[0, 0] = float("nan")
    check_logits(model)


def test_half_precision_passes(family):
    model, _ = TINY[family]()
    check_logits(model.bfloat16())


def test_positions_are_left_out_for_a_model_that_takes_none():
    config = AutoConfig.for_model("bloom", **COMMON | {"n_layer": 4, "n_head": 4})
    model = AutoModelForCausalLM.from_config(config).eval()
    batch = pad([[5, 6, 7], [8, 9]])
    with torch.no_grad():
        own = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True)
        torch.testing.assert_close(run(model, batch, use_cache=False)[0], own.hidden_states[-1])


def test_the_relative_error_of_vectors():
    right = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
    found = right + torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.1, 0.0]])
    assert relative_error(found, right, torch.float32) == pytest.approx(0.5)
    assert relative_error(found, right, torch.bfloat16) == pytest.approx(0.1)
