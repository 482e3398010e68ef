"""Prompts as GPT-2 XL was asked, and what the facts of a relation are to one another."""

import json

import pytest

from dsets import load


def row(known_id, subject="Paris", attribute="Europe", **changes):
    template = "{} is on the continent"
    prompt = f"{subject} is on the continent of"
    return {
        "known_id": known_id,
        "subject": subject,
        "attribute": attribute,
        "template": template,
        "prompt": prompt,
        "prediction": " of Europe",
        "relation_id": "P30",
        "some/model": True,
    } | changes


@pytest.fixture
def loaded(tmp_path):
    rows = [
        row(0),
        row(1, "Rome"),
        row(2, "Accra", "Africa"),
        row(3, template="Where is {}?"),
        row(4, "Oslo", prompt=""),
    ]
    rows.append(row(5, "Bern", template="{} and {}"))
    (tmp_path / "known_1000.json").write_text(json.dumps(rows))
    return load("known_1000", tmp_path)


def test_records(loaded):
    paris, rome, accra = loaded.records
    assert (paris.case_id, paris.prompt, paris.target_true) == (0, "{} is on the continent of", "Europe")
    assert [probe.prompt for probe in paris.neighborhood] == ["Rome is on the continent of"]
    assert (paris.target_new, accra.target_new, accra.neighborhood) == ("Africa", "Europe", ())
    assert rome.relation_id == "P30"


def test_what_is_left_out(loaded):
    assert loaded.skipped == {
        "the prompt does not begin with the template": [3],
        "empty prompt": [4],
        "the template has not one place for the subject": [5],
    }
