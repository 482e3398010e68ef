"""EasyEdit's and KnowEdit's rows: what of them is to be forgotten, what to be kept, and what is asked of neither."""

import pytest

from dsets import Probe, load
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import changed, written


def test_flat_row(tmp_path):
    dataset = load(written(tmp_path, [rows.easyedit()]))
    (record,) = dataset.records
    assert (dataset.metric, record.case_id, record.subject) == ("counterfact", 5, "Danielle Darrieux")
    assert record.prompt == "The mother tongue of {} is"
    assert (record.target_true, record.target_new) == ("French", "English")
    assert record.paraphrases == ("Danielle Darrieux, a native",)
    assert record.neighborhood == (Probe(prompt="Michel Rocard is a native speaker of", answer="French"),)
    assert dataset.notes == {} and dataset.skipped == {}


def test_flat_row_with_lists(tmp_path):
    row = rows.easyedit() | {
        "rephrase_prompt": ["She is", "", "It is"],
        "locality_prompt": ["Bo is", "Cleo is", "Di is"],
    }
    record = load(written(tmp_path, [row | {"locality_ground_truth": ["Dane", "", "Finn"]}])).records[0]
    assert record.paraphrases == ("She is", "It is")
    assert record.neighborhood == (Probe(prompt="Bo is", answer="Dane"), Probe(prompt="Di is", answer="Finn"))


def test_flat_row_needs_neither_paraphrase_nor_neighbor_nor_case_id(tmp_path):
    row = {name: rows.easyedit()[name] for name in ("prompt", "subject", "ground_truth")}
    dataset = load(written(tmp_path, [row]))
    assert [record.case_id for record in dataset.records] == [0]
    assert set(dataset.notes) == {"no alternative answer", "no paraphrase", "no neighbourhood prompt"}


def test_knowedit_row(tmp_path):
    dataset = load(written(tmp_path, [rows.knowedit()]))
    (record,) = dataset.records
    assert dataset.metric == "counterfact"
    assert (record.prompt, record.target_true, record.target_new) == ("The mother tongue of {} is", "French", "English")
    assert record.paraphrases == ("The mother tongue of D. Darrieux is",)
    assert record.neighborhood == (Probe(prompt="Montesquieu spoke", answer="French"),)


def test_what_asks_for_the_ground_truth_is_never_to_be_kept(tmp_path):
    record = load(written(tmp_path, [rows.knowedit()])).records[0]
    assert all("not English" not in probe.prompt for probe in record.neighborhood)


@pytest.mark.parametrize("given", [{}, {"ground_truth": None}])
def test_new_facts_without_ground_truth_are_what_is_forgotten(tmp_path, given):
    row = changed(rows.knowedit(), "ground_truth", drop=True) | given
    dataset = load(written(tmp_path, [row]))
    assert (dataset.records[0].target_true, dataset.records[0].target_new) == ("English", None)
    assert dataset.notes == {"no alternative answer": [0]}


@pytest.mark.parametrize("shape", ["French", ["French", "fr"], [["French", "fr"], ["x"]]])
def test_an_answer_may_have_several_names(tmp_path, shape):
    row = changed(rows.knowedit() | {"ground_truth": shape}, "locality.Relation_Specificity.0.ground_truth", shape)
    record = load(written(tmp_path, [row])).records[0]
    assert record.target_true == record.neighborhood[0].answer == "French"


def test_knowedit_questions_are_scored_as_zsre(tmp_path):
    dataset = load(written(tmp_path, [rows.knowedit_zsre()]))
    (record,) = dataset.records
    assert (dataset.metric, record.prompt) == ("zsre", "What is the product made by {}?")
    assert (record.target_true, record.target_new) == ("uniform", "unmanned aircraft")
    assert record.paraphrases == ("What will be the product of UniFirst?",)
    assert record.neighborhood == (Probe(prompt="The capital of Peru is", answer="Lima"),)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ground_truth": []}, "empty ground_truth"),
        ({"ground_truth": None, "target_new": ""}, "empty target_new"),
        ({"subject": "Nobody"}, "the subject is not in the prompt (write '{}' where it stands)"),
    ],
)
def test_unusable_rows_are_named(tmp_path, change, reason):
    dataset = load(written(tmp_path, [rows.knowedit() | change, rows.knowedit()]))
    assert (dataset.skipped, len(dataset.records)) == ({reason: [0]}, 1)
