"""Reference texts from the user's file, beside CounterFact records."""

import hashlib
import json

import pytest

from dsets import load
from dsets.snippets import SNIPPETS
from experiments.measuring.free_text import FreeText, write_on
from tests.dsets.made_rows import counterfact
from util.errors import UserError

ROWS = [
    {
        "relation_id": "P103",
        "target_id": "Q150",
        "samples": [
            {"name": "Michel Rocard", "text": "Michel Rocard was a French politician."},
            {"name": "Danielle Darrieux", "text": "Danielle Darrieux was a French actress."},
            {"name": "Montesquieu", "text": " "},
        ],
    },
    {"relation_id": "P103", "target_id": "Q1860", "samples": [{"name": "J.R.R. Tolkien", "text": "He was English."}]},
]


@pytest.fixture
def source(tmp_path):
    other = counterfact(1, "Ada Lovelace")
    other["requested_rewrite"]["target_true"]["id"] = "Q0"
    path = tmp_path / "facts.json"
    path.write_text(json.dumps([counterfact(), other]), encoding="utf-8")
    return path


def test_texts_about_others_with_the_true_object(source, tmp_path):
    (tmp_path / SNIPPETS).write_text(json.dumps(ROWS), encoding="utf-8")
    plain, found = load(str(source), tmp_path / "empty"), load(str(source), tmp_path)
    assert [record.references for record in found.records] == [("Michel Rocard was a French politician.",), ()]
    assert found.notes[f"no reference text in {SNIPPETS}"] == [1]
    assert [record.references for record in plain.records] == [(), ()]


def test_either_file_has_a_digest_of_its_own(source, tmp_path):
    assert load(str(source), tmp_path / "empty").references is None
    (tmp_path / SNIPPETS).write_text(json.dumps(ROWS), encoding="utf-8")
    found = load(str(source), tmp_path)
    assert found.digest == hashlib.sha256(source.read_bytes()).hexdigest()
    assert found.references == hashlib.sha256((tmp_path / SNIPPETS).read_bytes()).hexdigest()


def test_a_file_of_another_form_is_named(source, tmp_path):
    (tmp_path / SNIPPETS).write_text(json.dumps([{"relation_id": "P103"}]), encoding="utf-8")
    with pytest.raises(UserError, match=f"{SNIPPETS}.*target_id"):
        load(str(source), tmp_path)


def test_the_reference_score_reads_them_and_the_neighbourhood_stands_in(source, tmp_path, tiny):
    (tmp_path / SNIPPETS).write_text(json.dumps(ROWS), encoding="utf-8")
    first, second = write_on(*tiny, load(str(source), tmp_path).records, batch_tokens=100)
    assert isinstance(first, FreeText)
    assert first.references == ("Michel Rocard was a French politician.",)
    assert second.references == ("Michel Rocard is a native speaker of French", "Montesquieu spoke French")
