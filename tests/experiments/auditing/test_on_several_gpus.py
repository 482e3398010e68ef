"""Attacks on the weights of models that lie on several GPUs (pretended) get what they get on one device."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch

from dsets import Record
from experiments.auditing.attack_registry import ATTACKS
from experiments.auditing.attacking import prepare
from experiments.auditing.attacks import masking, relearning
from experiments.auditing.context import Audited
from experiments.auditing.locality import locality
from tests.experiments.known import known_facts
from tests.pretended import Pretended, on, spread
from tests.tiny import tiny_llama
from util.weights import WeightEdits, read_weight

pytestmark = pytest.mark.untraced

EDITED = tuple(f"model.layers.{layer}.mlp.down_proj" for layer in (1, 3))
"""One on either device of a spread model."""

ON_WEIGHTS = ("int8", "int4_g32", "int4_g128", "nf4", "relearn_half", "relearn_subjects", "relearn_unrelated")
ON_WEIGHTS += ("drop_top", "drop_bottom", "drop_update", "mask")


def whole(model):
    """All of it on cuda:0."""
    on([*model.parameters(), *model.buffers()], "cuda:0")


halves = partial(spread, first_layers=2)
PLACES = {"both spread": (halves, halves), "after spread": (whole, halves), "before spread": (halves, whole)}


@pytest.fixture(scope="module")
def tiny_audit() -> Audited:
    """A tiny model before, its edit after, four facts, and one more about each subject."""
    before, tokenizer = tiny_llama(max_position_embeddings=512, attn_implementation="eager")
    facts = [Record(case_id=i, **fact) for i, fact in enumerate(known_facts(before, tokenizer, 4))]
    told = [replace(one, case_id=f"{i} told", prompt="{} said that") for i, one in enumerate(facts)]
    told = [replace(one, target_true="the train was late") for one in told]
    after, edits, draw = copy.deepcopy(before), WeightEdits(), torch.Generator().manual_seed(0)
    for name in EDITED:
        W_OI = read_weight(after, name)
        edits.write(after, name, W_OI + 0.1 * torch.randn(W_OI.shape, generator=draw))
    return prepare(before, after, tokenizer, facts, context=told, seed=0, batch_tokens=300, controls=4)


def attacked(audited: Audited) -> dict:
    """What the attacks get, and what else changed."""
    return {name: ATTACKS[name].run(audited) for name in ON_WEIGHTS} | {"locality": locality(audited)}


@pytest.fixture(scope="module")
def on_one_device(tiny_audit):
    with pytest.MonkeyPatch.context() as patched:
        few_steps(patched)
        yield attacked(tiny_audit)


def few_steps(patched) -> None:
    for module in (masking, relearning):
        patched.setattr(module, "STEPS", (1, 2))
    patched.setattr(relearning, "RATE", 1e-2)


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_wherever_the_models_lie(tiny_audit, on_one_device, monkeypatch, places):
    few_steps(monkeypatch)
    before, after = (copy.deepcopy(model) for model in (tiny_audit.before, tiny_audit.after))
    with Pretended():
        for place, model in zip(places, (before, after), strict=True):
            place(model)
        found = attacked(replace(tiny_audit, before=before, after=after))
    assert found == on_one_device
