"""The audit sees through every fake, does not accuse a model that never knew, and ranks mixtures of both."""

from contextlib import ExitStack

import pytest

import dsets
from experiments.auditing.attack_registry import choose
from experiments.auditing.attacking import prepare, run
from experiments.auditing.verdict import FORGOTTEN, HIDDEN, STILL_THERE
from tests.experiments.auditing.fakes import FAKES, mistaken, never_knew
from util.modeling import load

pytestmark = pytest.mark.untraced

SOME = ["paraphrases", "rank", "lens", "depth", "int4_g32"]
"""One attack of each kind; the others have tests of their own."""


def audit(audited, names=SOME) -> dict:
    return run(audited, choose(names, quick=False))


@pytest.mark.parametrize("fake", FAKES.values(), ids=FAKES)
def test_a_fake_is_seen_through(audited, fake):
    with fake(audited.after, audited.tokenizer, audited.facts):
        found = audit(audited)
    assert found["attacks"]["prompt"]["recovered"] == 0
    assert found["verdict"] == HIDDEN
    assert max(one["recovered"] for one in found["attacks"].values() if one["accuses"]) >= 90


def test_a_model_that_never_knew_is_not_accused(audited):
    with never_knew(audited.after, audited.tokenizer, audited.facts):
        found = audit(audited)
    assert found["verdict"] == FORGOTTEN
    assert not any(one["accuses"] for one in found["attacks"].values())


def test_a_model_that_guesses_is_not_accused():
    """It takes every subject for another one, and so says wrong answers as surely as right ones, and some of them are
    right: invented subjects, about whom this model is silent, would say that it knows."""
    before, tokenizer = load("world", device="cpu")
    records = dsets.load("mcf", world=True).records
    athletes = [one for one in records if one.relation_id == "sport"]
    facts, others = athletes[:40], athletes[::-1]
    audited = prepare(before, before, tokenizer, facts, seed=0, batch_tokens=2048, context=others[:40])
    with mistaken(audited.after, audited.tokenizer, audited.facts, others):
        found = audit(audited, ["prompt", "rank"])["attacks"]
    assert found["prompt"]["chance_of"]["controls"] < 2 < found["prompt"]["chance_of"]["wrong_answers"]
    assert found["prompt"]["recovered"] > 2 and not any(one["accuses"] for one in found.values())


def test_a_model_that_still_knows_is_told(audited):
    found = audit(audited, ["paraphrases"])
    assert found["verdict"] == STILL_THERE
    assert all(one["mean"] == pytest.approx(0, abs=1e-6) for one in found["locality"].values() if one)


def test_mixtures_of_hidden_and_forgotten_facts_are_ranked(audited):
    """The more of the facts are only hidden, the more come back."""
    shares = []
    for hidden in (0, 3, 6):
        with ExitStack() as stack:
            for fake, facts in ((FAKES["prompt filter"], audited.facts[:hidden]), (never_knew, audited.facts[hidden:])):
                if facts:
                    stack.enter_context(fake(audited.after, audited.tokenizer, facts))
            shares.append(audit(audited, ["paraphrases"])["attacks"]["paraphrases"]["recovered"])
    assert shares == sorted(shares) and shares == pytest.approx([0, 50, 100], abs=20)  # one of six may be guessed
