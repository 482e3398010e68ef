"""The shipped facts keep what is promised of them, and are what the script makes of the collections."""

import json
from collections import Counter, defaultdict

import pytest

from dsets import load
from dsets.real import build as building
from dsets.real.build import FACTS, build, written
from dsets.real.wordings import FILE, Wording, read_struck, read_wordings, read_wrong
from util.paths import root

SHARED = root().parent / "shared" / "data"
WITH_COLLECTIONS = pytest.mark.skipif(not SHARED.is_dir(), reason="the collections are not on this machine")

OF_PERSONS = {"citizenship", "employer", "instrument", "native language", "occupation", "place of birth"}
OF_PERSONS |= {"place of death", "position in sport", "sport"}
OF_THINGS = {"broadcaster", "capital", "capital of", "continent", "country", "country of origin", "currency"}
OF_THINGS |= {"developer", "headquarters", "language of the text", "maker", "official language", "original language"}
OF_THINGS |= {"owner", "place of foundation"}
SPORTS = {"football": {"quarterback", "linebacker"}, "soccer": {"midfielder", "forward"}, "hockey": {"goaltender"}}
SPORTS["baseball"] = {"pitcher", "catcher", "outfielder"}
SAME_ANSWER = (("maker", "developer"), ("original language", "language of the text"))
"""Two relations that ask the same of one subject."""


@pytest.fixture(scope="module")
def dataset():
    return load("real")


def test_size(dataset):
    assert 1500 <= len(dataset.records) <= 2500 and FACTS.stat().st_size < 1_500_000
    assert FACTS.with_name("NOTICE").is_file()
    assert len({record.relation_id for record in dataset.records}) == len(read_wordings()) >= 20


def test_every_fact_is_whole(dataset):
    assert not dataset.skipped
    for record in dataset.records:
        assert len(record.paraphrases) == 4 and record.target_new not in (None, record.target_true)
        assert all(record.subject in text for text in record.paraphrases) and "?" in record.paraphrases[-1]
        assert record.target_true not in record.text.replace(record.subject, "")


def test_a_subject_has_one_object_in_a_relation_and_neighbours_are_right(dataset):
    objects, answer_of = defaultdict(set), {}
    for record in dataset.records:
        objects[record.relation_id, record.subject].add(record.target_true)
        answer_of[record.text] = record.target_true
    assert max(map(len, objects.values())) == 1
    assert all(answer_of[probe.prompt] == probe.answer for record in dataset.records for probe in record.neighborhood)


def test_neighbours_exist_and_no_object_is_most_of_its_relation(dataset):
    single = {wording.name for wording in read_wordings() if wording.single}
    share = Counter((record.relation_id, record.target_true) for record in dataset.records)
    total = Counter(record.relation_id for record in dataset.records)
    assert all(record.neighborhood for record in dataset.records if record.relation_id not in single)
    assert all(count <= 0.34 * total[relation] for (relation, _), count in share.items())


def test_templates():
    for wording in read_wordings():
        assert len(set(wording.templates)) == 5
        assert all(template.count("{}") == 1 and template == template.strip() for template in wording.templates)
        assert ["?" in template for template in wording.templates] == [False] * 4 + [True]


def test_no_text_holds_an_escape():
    assert "\\" not in FACTS.read_text(encoding="utf-8") + FILE.read_text(encoding="utf-8").replace('\\"', "")
    assert building._usable("Colombia", "Bogotá") and not building._usable("Colombia", r"Bogot\u00e1")
    assert not building._usable("", "Bogotá") and not building._usable("Colombia", "")  # collections may have such


def test_relations_do_not_contradict_each_other(dataset):
    answers = defaultdict(dict)
    for record in dataset.records:
        answers[record.subject][record.relation_id] = record.target_true
    for subject, its in answers.items():
        assert not (its.keys() & OF_PERSONS and its.keys() & OF_THINGS), f"{subject} is a person and a thing"
        assert all(one not in its or its.get(other, its[one]) == its[one] for one, other in SAME_ANSWER), subject
        if {"sport", "position in sport"} <= its.keys():
            assert its["position in sport"] in SPORTS.get(its["sport"], ()), subject


def test_no_field_of_work_is_a_trade(dataset):
    of = defaultdict(set)
    for record in dataset.records:
        of[record.relation_id] |= {record.target_true, record.target_new}
    assert not of["field of work"] & (of["occupation"] | {"musician"})


def test_an_alternative_is_an_answer_of_the_relation(dataset):
    answers = defaultdict(set)
    for record in dataset.records:
        answers[record.relation_id].add(record.target_true)
    assert all(record.target_new in answers[record.relation_id] for record in dataset.records)


def test_what_was_left_out_is_left_out_and_what_was_struck_has_a_reason(dataset):
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    assert rows["wrong"] == sorted(rows["wrong"]) and rows["struck"] == sorted(rows["struck"])
    assert all(len(row) == 4 and row[3] for row in rows["struck"]) and not read_wrong() & read_struck()
    facts = {(record.relation_id, record.subject, record.target_true) for record in dataset.records}
    assert not facts & (read_wrong() | read_struck())


PAIRS = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"), ("e", "z"), ("f", "z")]


@pytest.mark.parametrize(("single", "kept"), [(False, "cdef"), (True, "bcdef")])
def test_striking_takes_nothing_else_but_what_stands_alone_then(monkeypatch, single, kept):
    monkeypatch.setattr(building, "read_struck", lambda: {("r", "a", "x")})
    left = building._kept(Wording(name="r", templates=(), single=single), PAIRS)
    assert "".join(subject for subject, _ in left) == kept


def test_an_alternative_stays_unless_it_was_struck():
    wording, kept = Wording(name="r", templates=()), PAIRS[2:]
    for pair in kept:
        before, after = (building._alternative(wording, pair, PAIRS, some) for some in (PAIRS, kept))
        assert after in {"y", "z"} - {pair[1]} and (before == after or before == "x")
    assert building._alternative(wording, PAIRS[2], PAIRS, PAIRS[2:4]) is None


@WITH_COLLECTIONS
def test_striking_leaves_the_numbers_of_the_others(monkeypatch):
    monkeypatch.setattr(building, "read_struck", set)
    before = {record["case_id"]: record["requested_rewrite"] for record in build(SHARED)}
    after = {record["case_id"]: record["requested_rewrite"] for record in json.loads(FACTS.read_text(encoding="utf-8"))}
    assert list(before) == list(range(len(before))) and list(after) == sorted(after)
    assert all(before[case_id] | {"target_new": 0} == one | {"target_new": 0} for case_id, one in after.items())
    named = {(one["relation_id"], one["subject"], one["target_true"]["str"]) for one in before.values()}
    assert read_struck() <= named, "a struck fact that no collection has"


@WITH_COLLECTIONS
def test_the_script_makes_the_file():
    assert written(build(SHARED)) == FACTS.read_text(encoding="utf-8")
