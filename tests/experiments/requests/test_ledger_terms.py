"""What a ledger leaves alone: chosen when it is begun, handed to the method in the forms of what stands, kept."""

import logging
from dataclasses import replace

import pytest

from dsets import Record
from experiments.requests.evidence.watching import choose_neighbors
from experiments.requests.ledger import open_ledger
from experiments.requests.ledger_terms import chosen_by, neighbors_of, terms_of
from tests.contract import hparams_for
from tests.tiny import REQUESTS, TEMPLATES, moments_for, tiny_llama
from util.weights import weights_hash

FACTS = [replace(fact, case_id=name) for fact, name in zip(REQUESTS, "abc", strict=True)]
NAMES = ("Danielle Darrieux", "Łukasz Żółć", "Northland", "Port Alba", "Mei Ling")
NEAR = [
    Record(case_id=i, prompt="{} speaks" if i % 2 else "{} was born in", subject=name, target_true="x", relation_id=rel)
    for i, (name, rel) in enumerate(zip(NAMES, ("P19", "P1", "P19", "P1", "P19"), strict=True))
]
COUNT = 2
"""Neighbours a prompt form."""


@pytest.fixture(scope="module")
def given():
    """(model, tokenizer, moments, terms), of a method that leaves existing subjects alone and nothing else."""
    model, tokenizer = tiny_llama()
    hparams = hparams_for(
        "ZeroUnlearn_Local", "llama", neighbors_per_template=COUNT, invented_per_template=0, protect_retain=False
    )
    moments = moments_for(model, hparams.rewrite_modules())
    about = {"moments": moments, "templates": TEMPLATES, "neighbors": NEAR}
    return model, tokenizer, moments, terms_of(model, tokenizer, "ZeroUnlearn_Local", hparams, **about)


def solved(ledger, given):
    """(hash of the model that has forgotten what stands, how many subjects that exist were left alone)."""
    model, tokenizer, moments, _ = given
    edits = ledger.solve(model, tokenizer, moments=moments)
    found = weights_hash(model)
    edits.undo(model)
    return found, edits.diagnostics["protected"]["existing"]


def test_a_ledger_hands_neighbours_on_in_every_form(given, tmp_path, caplog):
    """It handed none on, and warned of that."""
    with open_ledger(tmp_path / "with", given[3]) as ledger, caplog.at_level(logging.WARNING, "zerounlearn"):
        ledger.add(FACTS)
        found, count = solved(ledger, given)
    assert count == COUNT * len({fact.prompt for fact in FACTS}) and "existing subjects" not in caplog.text
    with open_ledger(tmp_path / "without", replace(given[3], neighbors=())) as ledger:
        ledger.add(FACTS)
        other, none = solved(ledger, given)
    assert none == 0 and other != found, "what is handed on decides"


def test_a_withdrawal_leaves_no_trace_of_a_neighbour_that_stepped_back(given, tmp_path):
    """FACTS[1] is about a neighbour, which is left alone before it comes and after it is withdrawn."""
    with open_ledger(tmp_path / "one", given[3]) as ledger:
        ledger.add(FACTS[:1])
        before, near = solved(ledger, given), ledger.neighbors()
        ledger.add(FACTS[1:])
        assert FACTS[1].subject in {one.subject for one in near}
        assert FACTS[1].subject not in {one.subject for one in ledger.neighbors()}
        assert solved(ledger, given)[0] != before[0]
        ledger.withdraw(["b", "c"])
        assert solved(ledger, given) == before and ledger.neighbors() == near
    with open_ledger(tmp_path / "other", given[3]) as ledger:
        ledger.add(FACTS[:1])
        assert solved(ledger, given) == before


def test_what_was_chosen_is_read_again(given, tmp_path):
    terms = replace(given[3], protected=(FACTS[2],))
    assert chosen_by(tmp_path) is None and not any(tmp_path.iterdir())
    with open_ledger(tmp_path, terms) as ledger:
        ledger.add(FACTS[:2])
        wanted = ledger.neighbors()
    protected, neighbors = chosen_by(tmp_path)
    assert (protected, neighbors) == (terms.protected, terms.neighbors)
    with open_ledger(tmp_path, replace(terms, protected=protected, neighbors=neighbors)) as ledger:
        assert ledger.neighbors() == wanted


def test_neighbours_of_the_form_own_relation_come_first():
    near = neighbors_of([FACTS[0]], NEAR, seed=0)
    assert {one.prompt for one in near} == {FACTS[0].prompt} and len(near) == len(NAMES)
    assert {one.subject for one in near[:3]} == {
        name for name, one in zip(NAMES, NEAR, strict=True) if "9" in one.relation_id
    }


def test_half_of_the_subjects_may_be_left_alone():
    facts = [Record(case_id=i, prompt="{} is", subject=f"s{i // 3}", target_true="x") for i in range(33)]
    chosen = choose_neighbors(facts, 0)
    assert len(chosen) == len({one.subject for one in chosen}) == 5
    assert chosen == choose_neighbors(facts, 0) != choose_neighbors(facts, 1)
    assert choose_neighbors([], 0) == choose_neighbors(facts[:3], 0) == []
    many = [Record(case_id=i, prompt="{} is", subject=f"s{i}", target_true="x") for i in range(300)]
    assert len(choose_neighbors(many, 0)) == 100, "of one relation"
