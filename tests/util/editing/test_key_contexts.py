"""Keys from more contexts: each by hand, and their weight in the mean."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from tests.contract import RETAIN, forget, hparams_for
from tests.tiny import REQUESTS, TEMPLATES, TINY
from tests.util.editing.test_cheap_targets import SEARCHING
from util.editing import key_contexts
from util.editing.contexts import LONG_TOKENS, continuation
from util.editing.key_contexts import in_context, prefixes
from util.editing.keys import average_keys
from util.editing.setting import Setting
from util.errors import UserError
from util.tokens import encode

CONTEXTS = ["long_prefix", "few_shot", "subject_alone"]


@pytest.fixture
def setting(family):
    model, tok = TINY[family]()
    given = {"requests": REQUESTS, "context_templates": TEMPLATES, "retain_requests": RETAIN}
    return Setting(model=model, tokenizer=tok, **given).prepared(CONTEXTS)


def texts(setting, context):
    requests, ((template,),) = in_context(setting.model, setting.tokenizer, context, REQUESTS, setting.prefixes)
    return [template.replace("{}", request.text) for request in requests]


def test_what_stands_around_a_subject(setting):
    assert texts(setting, "subject_alone") == [request.subject for request in REQUESTS]
    shots = "The capital of Northland is Port Alba.\nThe bridge stood still in London.\n"
    assert texts(setting, "few_shot") == [shots + request.text for request in REQUESTS]
    prefix = continuation(setting.model, setting.tokenizer, "The", 0, LONG_TOKENS)
    assert texts(setting, "long_prefix") == [f"{prefix}. {request.text}" for request in REQUESTS]
    assert len(encode(setting.tokenizer, prefix)) > 3 * len(
        encode(setting.tokenizer, continuation(setting.model, setting.tokenizer, "The", 0))
    )


def test_every_context_weighs_as_much_as_a_group(setting, family):
    name = hparams_for("MEMIT", family).rewrite_module(1)

    def alone(context):
        requests, groups = in_context(setting.model, setting.tokenizer, context, REQUESTS, setting.prefixes)
        return average_keys(setting.model, setting.tokenizer, requests, name, groups, 10_000)

    parts = [len(TEMPLATES) * setting.keys(name), *(alone(context) for context in CONTEXTS)]
    expected = torch.stack(parts).sum(0) / (len(TEMPLATES) + len(CONTEXTS))
    torch.testing.assert_close(setting.keys(name, CONTEXTS), expected, atol=1e-5, rtol=1e-5)
    assert all((part - setting.keys(name)).norm() > 1e-3 for part in parts[1:])


def test_few_shot_without_retain_requests_is_refused():
    model, tok = TINY["llama"]()
    with pytest.raises(UserError, match="few_shot"):
        prefixes(model, tok, ["few_shot"], REQUESTS, [], 0)


def test_a_subject_that_would_be_read_at_the_first_position_is_refused():
    """Llama's tests' tokenizer puts BOS before it, GPT-2's nothing."""
    one_token = [replace(REQUESTS[0], subject="a")]
    model, tok = TINY["gpt2"]()
    assert len(encode(tok, "a")) == 1
    with pytest.raises(UserError, match="'a' alone is one token at the first position"):
        prefixes(model, tok, ["subject_alone"], one_token, [], 0)


@pytest.mark.parametrize("name", ["MEMIT", "ROME"])
def test_the_long_prefix_is_made_once_before_anything_is_edited_and_noted(name, monkeypatch):
    model, tok = TINY["llama"]()
    made = []
    told = key_contexts.continuation
    monkeypatch.setattr(key_contexts, "continuation", lambda *given: made.append(told(*given)) or made[-1])
    monkeypatch.setattr(Setting, "targets", lambda *_, **__: pytest.fail("searched before the contexts are made"))
    edit = partial(forget, name, model, tok)
    with pytest.raises(UserError, match="few_shot"):
        edit(hparams_for(name, "llama", key_contexts=["few_shot"]), retain_requests=[])
    monkeypatch.undo()
    monkeypatch.setattr(key_contexts, "continuation", lambda *given: made.append(told(*given)) or made[-1])
    edits = edit(hparams_for(name, "llama", key_contexts=["long_prefix"]))
    assert len(made) == 1 and edits.diagnostics["key_prefixes"] == {"long_prefix": made[0] + ". "}


@pytest.mark.parametrize("name", SEARCHING)
def test_every_method_reads_its_keys_there(name, family):
    found = []
    for contexts in ([], ["subject_alone"]):
        model, tok = TINY[family]()
        hparams = hparams_for(name, family, key_contexts=contexts)
        forget(name, model, tok, hparams)
        found.append(model.get_submodule(hparams.rewrite_module(1)).weight.detach().clone())
    assert not torch.equal(*found)
