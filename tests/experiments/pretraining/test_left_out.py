"""Which facts an oracle is trained without, and that its world then says nothing that gives them."""

import json
from dataclasses import replace

import pytest

import dsets
from dsets import world
from dsets.world.datasets import make_records
from experiments.pretraining.left_out import left_out
from util.errors import UserError


@pytest.mark.parametrize("name", ["mcf", "zsre", "mquake"])
def test_a_world_without_facts_says_nothing_that_gives_them(name, tmp_path):
    known = world.make_world()
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(make_records(name, known, 0)[:12]))
    records = dsets.load(str(file)).records
    absent = left_out(records, known)
    assert {(fact.subject, fact.object) for fact in absent} == {(one.subject, one.target_true) for one in records}
    oracles = known.without({(fact.relation.name, fact.subject) for fact in absent})
    assert set(known.facts) - set(oracles.facts) == set(absent)
    gone = set(known.chains) - set(oracles.chains)
    assert gone == {chain for chain in known.chains if chain.first in absent or chain.second in absent}
    told = "\n".join(document.text for document in world.documents(oracles, 0))
    for fact in absent:
        for template in fact.relation.templates:
            assert f"{template.replace('{}', fact.subject)} {fact.object}." not in told
    assert any(fact.subject in told for fact in oracles.facts)


def test_no_invented_subject_gets_a_name_of_the_facts_left_out():
    known = world.make_world(scale=0.05)
    everything = {(fact.relation.name, fact.subject) for fact in known.facts}
    assert known.without(everything).kinds == known.kinds


@pytest.mark.parametrize(
    ("change", "named"),
    [({"subject": "Nobody At All"}, "no fact"), ({"target_true": {"str": "Atlantis", "id": "W"}}, "no fact")],
)
def test_facts_of_elsewhere_cannot_be_left_out(change, named, known, tmp_path):
    (record,) = make_records("mcf", known, 0)[:1]
    record["requested_rewrite"] |= change
    file = tmp_path / "facts.json"
    file.write_text(json.dumps([record]))
    with pytest.raises(UserError, match=named):
        left_out(dsets.load(str(file)).records, known)


def test_two_facts_with_one_answer_are_told_apart_by_the_prompt():
    facts = [fact for fact in world.make_world().facts if fact.relation.name in ("birthplace", "residence")]
    born = next(fact for fact in facts if fact.relation.name == "birthplace")
    lives = next(fact for fact in facts if fact.relation.name == "residence" and fact.subject == born.subject)
    known = replace(world.make_world(), facts=(born, replace(lives, object=born.object)))
    record = dsets.Record(case_id=0, prompt=lives.relation.templates[0], subject=born.subject, target_true=born.object)
    assert [fact.relation.name for fact in left_out([record], known)] == ["residence"]
    with pytest.raises(UserError, match="several facts"):
        left_out([replace(record, prompt="Of {} it is said:")], known)
