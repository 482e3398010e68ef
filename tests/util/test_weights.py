import pytest
import torch

from tests.tiny import MODULE_NAMES, TINY
from util.errors import UserError
from util.weights import WeightEdits, checksums, model_hash, read_weight, weights_hash


def name_of(family, layer=1):
    return MODULE_NAMES[family]["rewrite_module_tmp"].format(layer)


def test_weights_are_out_by_in(family):
    model, _ = TINY[family]()
    module = model.get_submodule(name_of(family))
    W = read_weight(model, name_of(family))
    assert W.shape == (24, 44) and not W.requires_grad
    x = torch.randn(3, 44)
    bias = module.bias if family == "gpt2" else 0
    torch.testing.assert_close(module(x), x @ W.T + bias)


def test_write_and_undo_are_bit_exact(family):
    model, _ = TINY[family]()
    before, hash_before = read_weight(model, name_of(family)).clone(), weights_hash(model)
    edits = WeightEdits()
    for factor in (2.0, 3.0):
        edits.write(model, name_of(family), before * factor)
    assert torch.equal(read_weight(model, name_of(family)), before * 3)
    assert list(edits.original) == [name_of(family) + ".weight"]
    assert weights_hash(model) != hash_before
    edits.undo(model)
    assert weights_hash(model) == hash_before


def test_a_float64_result_is_rounded_to_the_weights_dtype(family):
    model, _ = TINY[family]()
    model.bfloat16()
    WeightEdits().write(model, name_of(family), torch.full((24, 44), 1 / 3, dtype=torch.float64))
    assert read_weight(model, name_of(family))[0, 0] == torch.tensor(1 / 3).bfloat16()


def test_values_that_are_not_finite_are_refused(family):
    model, _ = TINY[family]()
    before = weights_hash(model)
    with pytest.raises(FloatingPointError, match="not finite"):
        WeightEdits().write(model, name_of(family), torch.full((24, 44), torch.inf))
    assert weights_hash(model) == before


def test_times_wait_for_every_gpu_in_use(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index=None: [5, 0, 7][index or 0])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device or 0))
    with WeightEdits().timed("solve"):
        pass
    assert waited == [0, 2]


@pytest.mark.parametrize(("name", "words"), [("model.nothing", "no module"), ("model.norm", "linear layer")])
def test_wrong_modules_are_named(name, words):
    with pytest.raises(UserError, match=words):
        read_weight(TINY["llama"]()[0], name)


def test_the_hash_sees_a_swap_and_a_bit():
    model, _ = TINY["llama"]()
    first = weights_hash(model)
    weight = model.model.layers[0].mlp.down_proj.weight.data
    weight[0, 0], weight[0, 1] = weight[0, 1].clone(), weight[0, 0].clone()
    second = weights_hash(model)
    weight[5, 5] = torch.nextafter(weight[5, 5], torch.tensor(9.0))
    assert len({first, second, weights_hash(model)}) == 3


ROPE = {"rope_theta": 500.0, "rope_type": "default"}


@pytest.mark.parametrize("other", [{"rms_norm_eps": 0.1}, {"rope_parameters": ROPE}, {"hidden_act": "gelu"}])
def test_another_setting_is_another_function_of_the_same_weights(other):
    (one, _), (two, _) = TINY["llama"](), TINY["llama"](**other)
    ids = torch.arange(20)[None]
    assert not torch.allclose(one(input_ids=ids).logits, two(input_ids=ids).logits)
    assert weights_hash(one) == weights_hash(two)
    assert model_hash(one) != model_hash(two)


def test_names_and_what_is_not_computed_leave_the_function_alone(family):
    (one, _), (two, _) = TINY[family](), TINY[family](initializer_range=0.3, use_cache=False, architectures=["Other"])
    two.config._name_or_path, two.config.pad_token_id = "elsewhere", 7
    assert model_hash(one) == model_hash(two)
    weight = read_weight(two, name_of(family))
    weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert model_hash(one) != model_hash(two)


def test_a_number_may_be_written_as_an_int_or_a_float():
    ropes = [{"rope_theta": theta, "rope_type": "default"} for theta in (10000, 10000.0)]
    whole, split = (TINY["llama"](rope_parameters=rope)[0] for rope in ropes)
    assert model_hash(whole) == model_hash(split)


def test_a_text_that_ends_elsewhere_is_another_function(family):
    one, _ = TINY[family]()
    hashes = []
    for ends in (None, 1, [1], [1, 5], [5, 1]):
        one.generation_config.eos_token_id = ends
        hashes.append(model_hash(one))
    assert hashes[1] == hashes[2] and hashes[3] == hashes[4] and len(set(hashes)) == 3


def test_what_only_a_wider_dtype_holds_is_refused(family):
    model, _ = TINY[family]()
    before = weights_hash(model.half())
    with pytest.raises(FloatingPointError, match="not finite"):
        WeightEdits().write(model, name_of(family), torch.full((24, 44), 1e5))
    assert weights_hash(model) == before


def test_packed_weights_are_refused():
    model, _ = TINY["llama"]()
    packed = torch.nn.Parameter(torch.zeros(24, 22, dtype=torch.uint8), requires_grad=False)
    model.get_submodule(name_of("llama")).weight = packed
    with pytest.raises(UserError, match="quantised"):
        read_weight(model, name_of("llama"))


def test_checksums_are_those_of_the_whole_whatever_the_chunks():
    """An odd number of chunks; the chunks change nothing, or every statistics file would be measured anew."""
    stored = torch.randn(700_001, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    bits = stored.view(torch.int16).to(torch.int64)
    places = torch.arange(1, len(bits) + 1)
    assert checksums(stored) == (int(bits.sum()) % (1 << 64), int((bits * places).sum()) % (1 << 64))
