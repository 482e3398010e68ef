"""Rows of the published files, where a checkout has them beside it."""

import pytest

from dsets import load
from dsets.corpus import load_corpus
from dsets.splits import draw
from util.paths import root

DATA = root().parent / "shared" / "data"
CASES = DATA.parent / "cases"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}")


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("12-filled-in-prompts/tracing.jsonl", "counterfact"),
        ("13-file-schemas/azhx.parquet", "counterfact"),
        ("13-file-schemas/easyedit_cf.json", "counterfact"),
        ("13-file-schemas/facts_wrapped.json", "counterfact"),
        ("13-file-schemas/knowedit.json", "counterfact"),
        ("13-file-schemas/knowedit_zsre.json", "zsre"),
        ("13-file-schemas/zsre_multi_loc.json", "zsre"),
        ("13-file-schemas/zsre_multi_rephrase.json", "zsre"),
        ("13-file-schemas/zsre_noalt.json", "zsre"),
    ],
)
def test_files_that_people_have(name, metric):
    dataset = load(str(CASES / name))
    assert (dataset.metric, dataset.skipped) == (metric, {})
    assert [record.target_true for record in dataset.records] == ["Russian", "German", "Japanese", "French"]


def test_files_with_odd_subjects():
    assert len(load(str(CASES / "13-file-schemas" / "x.JSONL")).records) == 5
    assert load(str(CASES / "13-file-schemas" / "mquake_t.json")).metric == "mquake"


@pytest.mark.parametrize(
    ("name", "metric", "count"), [("counterfact_2000", "counterfact", 2000), ("zsre_mend_1000", "zsre", 1000)]
)
def test_every_row_is_used(name, metric, count):
    dataset = load(str(DATA / f"{name}.json"))
    assert (dataset.metric, len(dataset.records), dataset.skipped) == (metric, count, {})
    assert all(len(record.paraphrases) == len(record.neighborhood) == 1 for record in dataset.records)
    without = [record.case_id for record in dataset.records if record.target_new is None]
    assert without == dataset.notes.get("no alternative answer", [])


def test_zsre_prompt_is_the_question():
    for record in load(str(DATA / "zsre_mend_1000.json")).records:
        assert record.text.replace(record.subject, "{}") == record.prompt
        assert record.neighborhood[0].prompt.endswith("?")


def test_draw_of_fifty():
    records = load(str(DATA / "counterfact_2000.json")).records
    drawn = draw(records, 50, 900, 0)
    assert (len(drawn.forget), drawn.warnings) == (50, [])
    assert len({record.subject for record in drawn.forget}) == 50


@pytest.mark.parametrize("name", ["wikitext2_valid.txt", "wikitext2_test.txt"])
def test_wikitext_has_documents(name):
    corpus = load_corpus(str(DATA / name), 200)
    assert len(corpus.documents) == 200 and all("\n \n" not in text for text in corpus.documents)
