"""CounterFact's rows for causal tracing."""

import pytest

from dsets import load
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import written


def test_row_becomes_a_record(tmp_path):
    dataset = load(written(tmp_path, [rows.tracing(), rows.tracing("Ben")]))
    record = dataset.records[0]
    assert (dataset.metric, record.case_id, record.text) == ("counterfact", 0, rows.tracing()["prompt"])
    assert (record.prompt, record.subject) == ("The mother tongue of {} is", "Danielle Darrieux")
    assert (record.target_true, record.target_new) == ("French", "English")
    assert (record.relation_id, record.object_id) == ("P103", "Q150")
    assert dataset.skipped == {}


@pytest.mark.parametrize(("field", "reason"), [("target_true", "empty target_true"), ("subject", "empty subject")])
def test_unusable_rows_are_named(tmp_path, field, reason):
    dataset = load(written(tmp_path, [rows.tracing() | {field: " "}, rows.tracing()]))
    assert (dataset.skipped, len(dataset.records)) == ({reason: [0]}, 1)
