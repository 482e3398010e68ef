"""How far next-token distributions moved: of a text's prefixes in one pass, and in bounded memory."""

import copy
from types import SimpleNamespace

import pytest
import torch

from experiments.auditing import locality
from experiments.auditing.locality import TAIL, divergence
from tests.memory import Peak
from tests.tiny import TEXT, TINY
from util.tokens import encode

ROWS = [text[:length] for text in TEXT for length in (12, 19, 26, 33)]


@pytest.fixture
def moved(tiny):
    """Two models, texts and places in them."""
    before, tok = tiny
    after = copy.deepcopy(before)
    with torch.no_grad():
        for weight in after.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    rows = [encode(tok, text) for text in ROWS]
    places = [[0, 2, len(row) - 1] if i % 2 else [len(row) - 1] for i, row in enumerate(rows)]
    return before, after, rows, places


def all_at_once(before, after, rows, places) -> torch.Tensor:
    """KL of each prefix (N,), each run by itself."""
    prefixes = [row[: place + 1] for row, some in zip(rows, places, strict=True) for place in some]
    with torch.no_grad():
        said = [
            torch.stack([model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1) for ids in prefixes])
            for model in (before, after)
        ]
    return divergence(*said)


@pytest.mark.parametrize("at_once", [1, 1000, locality.AT_ONCE])
@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_places_of_one_text_say_what_its_prefixes_say(moved, monkeypatch, batch_tokens, at_once):
    monkeypatch.setattr(locality, "AT_ONCE", at_once)
    before, after, rows, places = moved
    kl_N = all_at_once(*moved)
    found = locality._moved(SimpleNamespace(before=before, after=after, batch_tokens=batch_tokens), rows, places)
    expected = {"mean": kl_N.mean().item(), "tail": kl_N.quantile(TAIL).item(), "n": len(kl_N)}
    assert expected["mean"] > 0.01
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_memory_does_not_grow_with_the_prompts(monkeypatch):
    """But for a few numbers a prompt."""
    monkeypatch.setattr(locality, "AT_ONCE", 5 * 10_000)
    model, tok = TINY["llama"](vocab_size=10_000)
    audited = SimpleNamespace(before=model, after=model, batch_tokens=200)
    rows = [encode(tok, text) for text in ROWS]
    places = [[len(row) - 1] for row in rows]
    most = []
    for times in (2, 16):
        with Peak() as peak:
            assert locality._moved(audited, rows * times, places * times)["n"] == times * len(rows)
        most.append(peak.most)
    assert most[1] < 1.1 * most[0] < 10 * 8 * locality.AT_ONCE
