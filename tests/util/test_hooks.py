import pytest
import torch
from torch import nn

from util.hooks import capture, first, frozen, noting_tuples, patch, replaced, with_first


def stack():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))


def clean(model):
    return not any(m._forward_hooks or "forward" in m.__dict__ for m in model.modules())


def test_first_and_with_first_keep_the_container():
    x, y = torch.ones(1), torch.zeros(1)
    assert first(x) is x and first((x, "cache")) is x
    assert with_first(x, y) is y and with_first((x, "cache"), y) == (y, "cache")


def test_capture_inputs_outputs_and_stop():
    model, x = stack(), torch.randn(4, 3)
    with capture({"a": model[0]}) as outputs, capture({"a": model[0]}, inputs=True) as inputs:
        model(x)
    assert torch.equal(inputs["a"], x) and torch.equal(outputs["a"], model[0](x))
    reached = []
    model[2].register_forward_hook(lambda *_: reached.append(1))
    with capture({"b": model[1]}, stop=True) as seen:
        model(x)
    assert torch.equal(seen["b"], model[1](model[0](x))) and not reached


def test_capture_keeps_what_is_made_of_a_tensor():
    model, x = stack(), torch.randn(4, 3)
    with capture({"a": model[0]}, inputs=True, take=lambda found: found.sum(0)) as seen:
        model(x)
    assert torch.equal(seen["a"], x.sum(0))


def test_patch_changes_the_output_only_inside():
    model, x = stack(), torch.randn(4, 3)
    before = model(x)
    with patch(model[1], lambda h: h * 0):
        assert torch.equal(model(x), model[2].bias.expand(4, 2))
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("as_tuple", [False, True])
def test_noting_tuples_says_what_replaced_must_answer(as_tuple):
    model, x = stack(), torch.randn(4, 3)
    with replaced(model[:1], x, as_tuple), noting_tuples(model[0]) as noted:
        model[0](x)
    assert noted == [as_tuple] and clean(model)


def test_replaced_layers_compute_nothing():
    model, hidden = stack(), torch.randn(4, 3)
    with replaced(model[:2], hidden, as_tuple=False):
        assert torch.equal(model(torch.zeros(4, 3)), model[2](hidden))
    assert clean(model)


def test_replaced_puts_an_instance_forward_back():
    model = stack()
    model[0].forward = original = lambda x: x
    with replaced(model[:1], torch.zeros(1, 3), as_tuple=False):
        pass
    assert model[0].forward is original


def test_frozen_restores_modes_and_gradients():
    model = stack().train()
    model[0].weight.requires_grad_(False)
    model[1].eval()
    with frozen(model):
        assert not any(m.training for m in model.modules()) and not any(p.requires_grad for p in model.parameters())
    assert model.training and not model[1].training
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]


@pytest.mark.parametrize(
    "context",
    [
        lambda m: capture({"a": m[0]}),
        lambda m: patch(m[0], lambda h: h),
        lambda m: noting_tuples(m[0]),
        lambda m: replaced(m[:1], torch.zeros(1), as_tuple=True),
        frozen,
    ],
)
def test_everything_is_removed_when_the_block_raises(context):
    model = stack().train()
    with pytest.raises(RuntimeError, match="inside"), context(model):
        raise RuntimeError("inside")
    assert clean(model) and model.training and all(p.requires_grad for p in model.parameters())
