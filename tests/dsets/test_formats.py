"""Every schema: what a row becomes, what is skipped, and which file, record and field a complaint names."""

import logging

import pytest

from dsets import load
from dsets.record import Probe
from dsets.schemas.mquake import REPEATED
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import SCHEMAS, changed, written
from util.errors import UserError


def test_counterfact_row_becomes_a_record(tmp_path):
    dataset = load(written(tmp_path, [rows.counterfact(3)]))
    (record,) = dataset.records
    assert (dataset.metric, dataset.name) == ("counterfact", "rows")
    assert (record.case_id, record.prompt, record.subject) == (3, "The mother tongue of {} is", "Danielle Darrieux")
    assert (record.target_true, record.target_new) == ("French", "English")
    assert record.paraphrases == ("Danielle Darrieux, a native",)
    assert record.neighborhood[1] == Probe(prompt="Montesquieu spoke", answer="French")
    assert record.generation_prompts == ("Danielle Darrieux grew up in",)
    assert record.attribute_prompts == ("J.R.R. Tolkien's mother tongue is",)
    assert dataset.skipped == {} and dataset.notes == {}


def test_zsre_row_becomes_a_record(tmp_path):
    dataset = load(written(tmp_path, [rows.zsre()]))
    (record,) = dataset.records
    assert dataset.metric == "zsre"
    assert (record.case_id, record.prompt) == (0, "What is the product made by {}?")
    assert (record.target_true, record.target_new) == ("uniform", "unmanned aircraft")
    assert record.paraphrases == ("What will be the product of UniFirst?",)
    assert record.neighborhood == (Probe(prompt="nq question: who sang it first?", answer="Walter Sobchak"),)


def test_zsre_question_mark_is_not_doubled(tmp_path):
    row = changed(rows.zsre(), "loc", "nq question: who sang it first? ")
    assert load(written(tmp_path, [row])).records[0].neighborhood[0].prompt == "nq question: who sang it first?"


@pytest.mark.parametrize(
    ("question", "subject", "prompt"),
    [
        ("Which constellation is Io in?", "Io", "Which constellation is {} in?"),
        ("Is Annapolis where Ann lives?", "Ann", "Is Annapolis where {} lives?"),
        ("What species is C++ (x) for?", "C++ (x)", "What species is {} for?"),
        ("Who was Łukasz's father?", "Łukasz", "Who was {}'s father?"),
    ],
)
def test_zsre_marks_the_subject(tmp_path, question, subject, prompt):
    row = rows.zsre() | {"src": question, "subject": subject}
    assert load(written(tmp_path, [row])).records[0].prompt == prompt


def test_mquake_case_is_flattened_and_facts_come_once(tmp_path):
    dataset = load(written(tmp_path, [rows.mquake(7), rows.mquake(8)]))
    assert dataset.metric == "mquake"
    assert [record.case_id for record in dataset.records] == ["7-0", "7-1", "8-0"]
    assert dataset.notes == {REPEATED: ["8-1"]}
    first = dataset.records[0]
    assert (first.prompt, first.subject, first.target_true, first.target_new) == (
        "{} is married to",
        "Cleo 7",
        "Ben",
        "Ann",
    )
    case = first.multihop
    assert (case.case_id, len(case.questions), case.answers) == (7, 2, ("Chile", "Republic of Chile"))
    assert dataset.records[2].multihop.case_id == 8


def test_mquake_does_without_what_real_cases_lack(tmp_path):
    row = changed(changed(rows.mquake(), "answer_alias", drop=True), "single_hops", drop=True)
    row = changed(row, "requested_rewrite.0.target_new", drop=True)
    record = load(written(tmp_path, [row])).records[0]
    assert record.multihop.answers == ("Chile",)
    assert record.target_new is None


@pytest.mark.parametrize("name", ["facts.json", "facts.jsonl"])
def test_own_facts(tmp_path, name):
    full = rows.fact() | {
        "case_id": "a",
        "target_new": "Dutch",
        "paraphrases": ["She speaks"],
        "neighborhood": [{"prompt": "Ann speaks", "answer": "Danish"}],
    }
    dataset = load(written(tmp_path, [full, rows.fact("Ben") | {"neighborhood": ["Cleo speaks"], "sorce": "x"}], name))
    first, second = dataset.records
    assert (first.case_id, first.target_new, first.paraphrases) == ("a", "Dutch", ("She speaks",))
    assert first.neighborhood == (Probe(prompt="Ann speaks", answer="Danish"),)
    assert (second.case_id, second.target_new) == (1, None)
    assert second.neighborhood == (Probe(prompt="Cleo speaks", answer="French"),)
    assert dataset.notes == {"unknown field 'sorce', ignored": [1]}
    assert second.request("none").target_new == "none"
    assert second.text == "The mother tongue of Ben is"


def test_texts_lose_the_spaces_around_them(tmp_path):
    row = rows.zsre() | {"alt": " species", "answers": [" uniform "], "rephrase": "  "}
    dataset = load(written(tmp_path, [row]))
    assert (dataset.records[0].target_new, dataset.records[0].target_true) == ("species", "uniform")
    assert dataset.records[0].paraphrases == ()
    assert dataset.notes == {"no paraphrase": [0]}


def test_missing_extras_are_noted(tmp_path):
    row = rows.zsre() | {"alt": "", "loc_ans": ""}
    assert load(written(tmp_path, [row])).notes == {"no alternative answer": [0], "no neighbourhood prompt": [0]}


NO_PLACE = "the subject is not in the prompt (write '{}' where it stands)"


@pytest.mark.parametrize(
    ("make", "field", "value", "reason"),
    [
        (rows.counterfact, "requested_rewrite.target_true.str", " ", "empty requested_rewrite.target_true.str"),
        (rows.counterfact, "requested_rewrite.subject", "", "empty requested_rewrite.subject"),
        (rows.counterfact, "requested_rewrite.prompt", "{} and {}", "the subject stands more than once in the prompt"),
        (rows.counterfact, "requested_rewrite.prompt", "The mother tongue is", NO_PLACE),
        (rows.fact, "prompt", "no place", NO_PLACE),
        (rows.zsre, "subject", "Nobody", "the subject is not in the question"),
        (rows.zsre, "src", "UniFirst or UniFirst?", "the subject stands more than once in the question"),
        (rows.zsre, "src", "{} or UniFirst?", "the question holds '{}'"),
        (rows.zsre, "answers", ["", "x"], "empty answers[0]"),
        (rows.zsre, "answers", [], "empty answers[0]"),
        (rows.fact, "target_true", "", "empty target_true"),
    ],
)
def test_unusable_records_are_counted_and_named(tmp_path, caplog, make, field, value, reason):
    with caplog.at_level(logging.WARNING):
        dataset = load(written(tmp_path, [changed(make(), field, value), changed(make(), "case_id", 9)]))
    assert {reason: [0]} == dataset.skipped
    assert len(dataset.records) == 1
    assert reason in caplog.text and "1 records left out" in caplog.text


@pytest.mark.parametrize(
    ("field", "value", "reason"), [("subject", "", "empty subject"), ("prompt", "no place", NO_PLACE)]
)
def test_unusable_rewrite_leaves_the_case_its_others(tmp_path, field, value, reason):
    dataset = load(written(tmp_path, [changed(rows.mquake(), f"requested_rewrite.0.{field}", value)]))
    assert [record.case_id for record in dataset.records] == ["7-1"]
    assert dataset.skipped == {reason: ["7-0"]}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("questions", [" "], "empty questions"),
        ("answer", "", "empty answer"),
        ("requested_rewrite", [], "empty requested_rewrite"),
    ],
)
def test_unusable_case_is_counted_as_a_whole(tmp_path, field, value, reason):
    broken = changed(changed(rows.mquake(1), "answer_alias", []), field, value)
    dataset = load(written(tmp_path, [rows.mquake(2), broken]))
    assert dataset.skipped == {reason: [1]}
    assert [record.case_id for record in dataset.records] == ["2-0", "2-1"]


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no usable record: the subject is not in the question \(2\)"):
        load(written(tmp_path, [rows.zsre() | {"subject": "Nobody"}] * 2))


def test_a_file_whose_prompts_all_lack_the_place_says_how_to_mark_it(tmp_path):
    path = written(tmp_path, [rows.fact(name) | {"prompt": "She speaks"} for name in ("Ann", "Ben")])
    with pytest.raises(UserError, match=r"no usable record: .*write '\{\}' where it stands\) \(2\)") as error:
        load(path)
    assert path in str(error.value)


BROKEN = [
    ("counterfact", "case_id", None, "is null"),
    ("counterfact", "case_id", True, "is true"),
    ("counterfact", "requested_rewrite.subject", 5, "is 5; it must be a string"),
    ("counterfact", "requested_rewrite.target_true", "French", "is missing"),
    ("counterfact", "paraphrase_prompts", "one", "it must be a list"),
    ("counterfact", "neighborhood_prompts", [1], "it must be a string"),
    ("zsre", "answers", ["x", 3], "holds something else than strings"),
    ("zsre", "loc", None, "is null"),
    ("mquake", "requested_rewrite", ["x"], "it must be an object"),
    ("facts", "neighborhood", [{"prompt": "x", "answer": ""}], "has an empty prompt or answer"),
    ("facts", "neighborhood", [{"prompt": "x"}], "is missing"),
    ("zsre", "loc", ["one", "two"], "has not one text for each of 'loc'"),
    ("zsre", "rephrase", ["one", 2], "it must be a string"),
    ("easyedit", "locality_ground_truth", ["French"], "has not one text for each of 'locality_prompt'"),
    ("easyedit", "case_id", [], "it must be a whole number or a string"),
    ("knowedit", "ground_truth", [[5]], "begins with 5; it must be a string"),
    ("knowedit", "locality.Relation_Specificity", "x", "it must be a list"),
    ("question", "perturbed_answer", [1], "it must be a string"),
]


@pytest.mark.parametrize(("schema", "field", "value", "complaint"), BROKEN)
def test_broken_record_names_file_record_and_field(tmp_path, schema, field, value, complaint):
    make = SCHEMAS[schema]
    path = written(tmp_path, [make(), changed(make(), field, value)])
    with pytest.raises(UserError) as error:
        load(path)
    message = str(error.value)
    assert path in message and "record 1 (from 0)" in message and complaint in message
    assert field.split(".")[-1].strip("1") in message


REQUIRED = {
    "counterfact": ["case_id", "requested_rewrite", "requested_rewrite.subject", "paraphrase_prompts"],
    "zsre": ["subject", "src", "rephrase", "answers", "loc", "loc_ans"],
    "mquake": ["case_id", "requested_rewrite", "requested_rewrite.0.target_true", "questions", "answer"],
    "facts": ["prompt", "subject", "target_true"],
    "easyedit": ["prompt", "subject"],
    "knowedit": ["prompt", "subject", "locality.Relation_Specificity.0.ground_truth"],
    "tracing": ["relation", "subject", "target_true", "target_false"],
    "question": ["question", "answer"],
}


@pytest.mark.parametrize(("schema", "field"), [(name, field) for name, fields in REQUIRED.items() for field in fields])
def test_missing_field_is_an_error(tmp_path, schema, field):
    make = SCHEMAS[schema]
    with pytest.raises(UserError, match=rf"record 1 \(from 0\): field '.*{field.split('.')[-1]}.*' is missing"):
        load(written(tmp_path, [make(), changed(make(), field, drop=True)]))


def fields(value, path: str = "") -> list[str]:
    """Dotted names of everything inside a row."""
    inside = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    found = [path] if path else []
    return found + [name for key, child in inside for name in fields(child, f"{path}.{key}" if path else str(key))]


def attempt(path) -> tuple[list, str | None]:
    """The records of a file, or none and the complaint."""
    try:
        return load(path).records, None
    except UserError as error:
        return [], str(error)


@pytest.mark.parametrize(
    ("schema", "field"), [(name, field) for name, make in SCHEMAS.items() for field in fields(make())]
)
def test_whatever_a_field_holds_is_read_or_refused(tmp_path, schema, field):
    row = SCHEMAS[schema]()
    odd = [changed(row, field, value) for value in (None, True, 5, 1.5, "", "x", "{}", [], [[]], [""], {}, {"str": 1})]
    for bad in (*odd, changed(row, field, drop=True)):
        read, complaint = attempt(written(tmp_path, [bad]))
        assert all(record.request().text for record in read)
        assert complaint is None or ("\n" not in complaint and str(tmp_path) in complaint)


def test_repeated_case_id_is_an_error(tmp_path):
    with pytest.raises(UserError, match="record 1 .*case_id.* 0 comes twice"):
        load(written(tmp_path, [rows.counterfact(0), rows.counterfact(0)]))
