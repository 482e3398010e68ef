"""Prompts are asked as they are written, and the subject's place is found in them."""

from unicodedata import normalize

import pytest

from dsets import Record, load
from dsets.record import in_frame
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import written
from util.errors import UserError
from util.request import Frame


def only(tmp_path, row):
    (record,) = load(written(tmp_path, [row])).records
    return record


@pytest.mark.parametrize("prompt", ["{} is ", "{} is\n", "\n {}\tis", "“{}” is"])
def test_white_space_of_prompts_stays(tmp_path, prompt):
    texts = [f"{prompt.replace('{}', name)}" for name in ("Ada", "Bo")]
    row = {"prompt": prompt, "subject": " Ada ", "target_true": " clever ", "paraphrases": texts[:1]}
    row |= {"neighborhood": texts[1:], "generation_prompts": texts[:1], "answer_prefix": " "}
    record = only(tmp_path, row)
    assert (record.prompt, record.subject, record.target_true) == (prompt, "Ada", "clever")
    assert record.paraphrases == record.generation_prompts == (texts[0],)
    assert [probe.prompt for probe in record.neighborhood] == texts[1:]
    assert record.request().answer_prefix == " " and record.own_question == (texts[0], "clever", " ")


def test_published_schemas_keep_it_too(tmp_path):
    row = rows.counterfact()
    row["requested_rewrite"]["prompt"] += " \n"
    row["paraphrase_prompts"][0] += "\n"
    record = only(tmp_path, row)
    assert record.prompt.endswith(" \n") and record.paraphrases[0].endswith("\n")


@pytest.mark.parametrize(
    ("prompt", "subject", "template"),
    [
        ("The mother tongue of Nadia Orlov is", " Nadia Orlov", "The mother tongue of {} is"),
        ("Ana of Anatolia is", "Ana", "{} of Anatolia is"),
        ("北国的首都是", "北国", "{}的首都是"),
        ("{} of Ada is", "Ada", "{} of Ada is"),
    ],
)
def test_a_filled_in_subject_is_marked(tmp_path, prompt, subject, template):
    record = only(tmp_path, {"prompt": prompt, "subject": subject, "target_true": "Russian"})
    assert (record.prompt, record.subject) == (template, subject.strip())


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("Ada said that Ada is", "more than once"),
        ("Adamantine is", "inside other words"),
        ("She is", "is not in the prompt"),
        ("{} and {} are", "more than once"),
    ],
)
def test_no_place_and_several_are_named(tmp_path, prompt, reason):
    with pytest.raises(UserError, match=reason):
        load(written(tmp_path, [{"prompt": prompt, "subject": "Ada", "target_true": "clever"}]))


@pytest.mark.parametrize(("prompt_form", "subject_form"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_unicode_forms_are_compared_composed_and_the_prompts_own_is_asked(tmp_path, prompt_form, subject_form):
    text = normalize(prompt_form, "Where is Zürich?")
    row = {"prompt": text, "subject": normalize(subject_form, "Zürich"), "target_true": "Europe"}
    record = only(tmp_path, row)
    assert record.prompt == "Where is {}?" and record.text == text


def test_a_frame_stands_around_all_that_is_asked():
    """Where it goes on after the text, nothing more stands before the answer; where it does not, the record says."""
    record = Record(case_id=0, prompt="{} is", subject="Ada", target_true="clever", answer_prefix=": ")
    turn = in_frame(record, Frame("<q>", "<a>"))
    assert turn.own_question == ("<q>Ada is<a>", "clever", "")
    assert turn.question("Bo is", "kind") == ("<q>Bo is<a>", "kind", "")
    assert turn.request().template == "<q>{} is<a>" and (turn.prompt, turn.fact) == (record.prompt, record.fact)
    assert in_frame(record, Frame("<a>")).own_question == ("<a>Ada is", "clever", ": ")
