"""Questions and answers: whose subject is marked, told, or nowhere."""

import pytest

from dsets import load
from dsets.schemas.question_answer import NO_SUBJECT
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import written
from util.errors import UserError


def test_marked_subject(tmp_path):
    dataset = load(written(tmp_path, [rows.question()]))
    (record,) = dataset.records
    assert (dataset.metric, record.prompt, record.subject) == ("zsre", "What did {} speak?", "Danielle Darrieux")
    assert (record.target_true, record.target_new) == ("She spoke French.", "She spoke Danish.")
    assert record.paraphrases == ("Which was Danielle Darrieux's language?",)


def test_subject_in_a_field(tmp_path):
    record = load(written(tmp_path, [{"question": "Is Bo tall?", "answer": "Yes.", "subject": "Bo"}])).records[0]
    assert (record.prompt, record.subject, record.target_new) == ("Is {} tall?", "Bo", None)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("What did she speak?", NO_SUBJECT),
        ("Did [[Bo]] meet [[Di]]?", "more than one place is marked with [[…]]"),
        ("Is [[ ]] tall?", "empty [[…]]"),
        ("Is [[Bo]] {}?", "the question holds '{}'"),
    ],
)
def test_unusable_questions_are_named(tmp_path, question, reason):
    dataset = load(written(tmp_path, [rows.question() | {"question": question}, rows.question()]))
    assert (dataset.skipped, len(dataset.records)) == ({reason: [0]}, 1)


def test_a_file_without_subjects_says_how_to_tell_them(tmp_path):
    with pytest.raises(UserError, match=r"no usable record: .*write \[\[…\]\] around it.* \(1\)"):
        load(written(tmp_path, [{"question": "Is Bo tall?", "answer": "Yes."}]))
