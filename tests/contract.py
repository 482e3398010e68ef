"""What every method owes: checks that take a method's name and a tiny model family, and know no method.

A method's hparams are those of hparams/<METHOD>/world.json, where there is such a file, with what a tiny model needs.
"""

import copy
import inspect
import json

import pytest
import torch
from pydantic import ValidationError

from baselines.registry import method
from tests.prompts import KINDS
from tests.tiny import (
    MODULE_NAMES,
    OTHER_SIDES,
    REQUESTS,
    TARGET_SETTINGS,
    TEMPLATES,
    TINY,
    moments_for,
    tokenizer,
)
from util.errors import UserError
from util.modeling import decoder_layers
from util.paths import root
from util.request import Frame, Request
from util.weights import WeightEdits, weights_hash

SMALL = TARGET_SETTINGS | {
    "v_num_grad_steps": 3,
    "nullspace_threshold": 0.5,
    "nullspace_relative": True,
    "gd_steps": 5,
    "lr": 1e-2,
    "num_steps": 2,
    "batch_size": 2,
    "stop_above": None,
}

RETAIN = [
    Request(case_id=7, prompt="The capital of {} is", subject="Northland", target_true="Port Alba"),
    Request(case_id=8, prompt="{} stood still in", subject="The bridge", target_true="London"),
]

ARGUMENTS = ("model", "tokenizer", "requests", "hparams")
OPTIONS = {
    "moments": None,
    "context_templates": None,
    "retain_requests": (),
    "previous": None,
    "seed": 0,
    "batch_tokens": None,
    "progress": False,
}


def hparams_for(name: str, family: str, **changes):
    """The method's hparams for a tiny model: two layers where the method takes two, else one."""
    cls = method(name).HParams
    path = root() / "hparams" / name / "world.json"
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    values |= {key: value for key, value in (SMALL | MODULE_NAMES[family]).items() if key in cls.model_fields}
    try:
        return cls(**values | changes)
    except ValidationError:
        return cls(**values | {"layers": [1]} | changes)


def forget(name: str, model, tokenizer, hparams, requests=REQUESTS, **changes):
    """Run the method with every option given."""
    modules = hparams.rewrite_modules() if hasattr(hparams, "layers") else []
    options = OPTIONS | {"context_templates": TEMPLATES, "retain_requests": RETAIN} | changes
    if "moments" not in changes:
        options["moments"] = moments_for(model, modules)
    return method(name).apply_to_model(model, tokenizer, requests, hparams, **options)


def declared(hparams) -> set[str]:
    """Names of the parameters that the hparams say are edited."""
    return {f"{module}.weight" for module in hparams.rewrite_modules()} if hasattr(hparams, "layers") else set()


def state(model) -> dict[str, torch.Tensor]:
    """Every parameter and buffer, copied."""
    return {name: tensor.detach().clone() for name, tensor in [*model.named_parameters(), *model.named_buffers()]}


def changed(model, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of what is no longer the same to the bit."""
    now = state(model)
    assert now.keys() == before.keys()
    return {name for name, tensor in now.items() if not torch.equal(tensor, before[name])}


def check_the_package_has_the_common_names(name, family):
    package = method(name)
    assert list(inspect.signature(package.edit).parameters)[0].lstrip("_") == "setting"
    assert isinstance(package.HParams.needs_moments, bool)
    bound = inspect.signature(package.apply_to_model).bind(*ARGUMENTS, **OPTIONS)
    bound.apply_defaults()
    assert tuple(bound.arguments)[: len(ARGUMENTS)] == ARGUMENTS
    for parameter in inspect.signature(package.apply_to_model).parameters.values():
        if parameter.name in OPTIONS:
            assert parameter.kind is parameter.KEYWORD_ONLY and parameter.default == OPTIONS[parameter.name]


def check_only_declared_weights_change_and_all_of_them(name, family):
    model, tok = TINY[family]()
    hparams, before = hparams_for(name, family), state(model)
    edits = forget(name, model, tok, hparams)
    assert isinstance(edits, WeightEdits)
    assert changed(model, before) == set(edits.original) == declared(hparams)
    assert all(torch.equal(value, before[key]) for key, value in edits.original.items())
    assert all(value.device.type == "cpu" for value in edits.original.values())
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def check_undo_is_bit_exact(name, family):
    model, tok = TINY[family]()
    before = state(model)
    forget(name, model, tok, hparams_for(name, family)).undo(model)
    assert changed(model, before) == set()


def check_bfloat16_weights_stay_bfloat16(name, family):
    model, tok = TINY[family]()
    model.bfloat16()
    hparams, before = hparams_for(name, family), state(model)
    edits = forget(name, model, tok, hparams)
    assert changed(model, before) == declared(hparams)
    assert all(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    edits.undo(model)
    assert changed(model, before) == set()


def check_one_seed_gives_one_result_whatever_the_random_state_and_the_tokenizers_padding(name, family):
    """The random state is left alone."""
    hashes = set()
    for noise, pad, side in ((1, False, "right"), (2, True, "left")):
        model, tok = TINY[family]()
        other = tokenizer(bos=tok.bos_token is not None, pad=pad, side=side)
        assert (other.pad_token is not None, other.padding_side) == (pad, side)
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        forget(name, model, other, hparams_for(name, family), seed=3, context_templates=None)
        assert torch.equal(before, torch.get_rng_state())
        hashes.add(weights_hash(model))
    assert len(hashes) == 1


def check_prompts_of_every_kind_are_taken(name, family):
    """Chat headers, open quotes, scripts without spaces and a chat's frame; with contexts, and as retain facts."""
    requests = [
        Request(case_id=i, prompt=prompt, subject=subject, target_true=answer, frame=Frame(*frame))
        for i, (prompt, subject, answer, _) in enumerate(KINDS.values())
        for frame in [("<|im_start|>user\n", "<|im_end|>\n") if i % 2 else ("", "")]
    ]
    model, tok = TINY[family](side=OTHER_SIDES[family])
    hparams, before = hparams_for(name, family), state(model)
    forget(name, model, tok, hparams, requests=requests, retain_requests=requests[::-1])
    assert changed(model, before) == declared(hparams)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def check_no_requests_raise(name, family):
    model, tok = TINY[family]()
    before = state(model)
    with pytest.raises(UserError, match="no requests"):
        forget(name, model, tok, hparams_for(name, family), requests=[])
    assert changed(model, before) == set()


def check_hooks_modes_and_flags_are_as_before(name, family):
    model, tok = TINY[family](side="left")
    model.train()
    decoder_layers(model)[0].eval()
    watched = next(model.parameters())
    watched.requires_grad_(False)
    modes = {key: module.training for key, module in model.named_modules()}
    flags = {key: parameter.requires_grad for key, parameter in model.named_parameters()}
    attributes = {key: set(module.__dict__) for key, module in model.named_modules()}
    spelling = copy.deepcopy(tok.init_kwargs), tok.padding_side, tok.pad_token
    forget(name, model, tok, hparams_for(name, family))
    assert {key: module.training for key, module in model.named_modules()} == modes
    assert {key: parameter.requires_grad for key, parameter in model.named_parameters()} == flags
    assert {key: set(module.__dict__) for key, module in model.named_modules()} == attributes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert (tok.init_kwargs, tok.padding_side, tok.pad_token) == spelling


def check_one_fact_and_a_fact_twice(name, family):
    for requests in (REQUESTS[:1], REQUESTS[:1] * 2):
        model, tok = TINY[family]()
        hparams, before = hparams_for(name, family), state(model)
        forget(name, model, tok, hparams, requests=requests)
        assert changed(model, before) == declared(hparams)
        assert all(parameter.isfinite().all() for parameter in model.parameters())


def check_steps_follow_each_other_and_are_undone_in_turn(name, family):
    model, tok = TINY[family]()
    hparams, before = hparams_for(name, family), state(model)
    moments = moments_for(model, hparams.rewrite_modules() if hasattr(hparams, "layers") else [])
    first = forget(name, model, tok, hparams, requests=REQUESTS[:2], moments=moments)
    middle = state(model)
    second = forget(name, model, tok, hparams, requests=REQUESTS[2:], moments=moments, previous=first)
    assert changed(model, middle) == declared(hparams)
    second.undo(model)
    assert changed(model, middle) == set()
    first.undo(model)
    assert changed(model, before) == set()


class Broken(Exception):
    """What no code knows: a RuntimeError may say that a model cannot be run in some way, and be answered by another."""


def check_a_failure_leaves_the_model_as_it_was(name, family):
    """A forward pass breaks: the first one, one half-way, the last one. (A method without any has none to break.)"""
    calls = []
    model, tok = TINY[family]()
    hparams, before = hparams_for(name, family), state(model)
    layer = decoder_layers(model)[0]
    with_counter = layer.register_forward_pre_hook(lambda *_: calls.append(1))
    forget(name, model, tok, hparams).undo(model)
    with_counter.remove()
    total = len(calls)
    for fatal in {min(1, total), total // 2, total} - {0}:
        calls.clear()

        def breaks(*_, fatal=fatal):
            calls.append(1)
            if len(calls) == fatal:
                raise Broken("a forward pass broke")

        handle = layer.register_forward_pre_hook(breaks)
        with pytest.raises(Broken, match="a forward pass broke"):
            forget(name, model, tok, hparams)
        handle.remove()
        assert changed(model, before) == set()
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert not any(module._forward_hooks for module in model.modules())


def check_what_is_told_is_json(name, family):
    model, tok = TINY[family]()
    edits = forget(name, model, tok, hparams_for(name, family))
    json.dumps(edits.diagnostics, allow_nan=False)
    assert all(isinstance(value, float) and value >= 0 for value in edits.seconds.values())


def check_a_layer_out_of_range_is_named(name, family):
    model, tok = TINY[family]()
    hparams, before = hparams_for(name, family), state(model)
    if hasattr(hparams, "layers"):
        with pytest.raises(UserError, match="layers 0 to 3"):
            forget(name, model, tok, hparams_for(name, family, layers=[9]), moments={})
    assert changed(model, before) == set()


def check_missing_moments_are_named(name, family):
    model, tok = TINY[family]()
    hparams, before = hparams_for(name, family), state(model)
    if hparams.needs_moments:
        for moments in (None, {}):
            with pytest.raises(UserError, match="moments"):
                forget(name, model, tok, hparams, moments=moments)
        assert changed(model, before) == set()
    else:
        forget(name, model, tok, hparams, moments=None)
        assert changed(model, before) == declared(hparams)


CHECKS = {key.removeprefix("check_"): check for key, check in list(globals().items()) if key.startswith("check_")}
