"""The shipped facts keep what is promised of them, and are what the script makes of the collections."""

from collections import Counter, defaultdict

import pytest

from dsets import load
from dsets.real import build as building
from dsets.real.build import FACTS, build, written
from dsets.real.wordings import FILE, read_wordings
from util.paths import root

SHARED = root().parent / "shared" / "data"


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


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collections are not on this machine")
def test_the_script_makes_the_file():
    assert written(build(SHARED)) == FACTS.read_text(encoding="utf-8")
