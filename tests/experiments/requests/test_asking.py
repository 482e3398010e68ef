"""Request files: every form, in every kind of file, and one line for each way to get them wrong."""

import io
import json
import sys

import pytest

from experiments.requests.asking.about_subject import answer_in, forms
from experiments.requests.asking.request_rows import MOST_ROWS
from experiments.requests.asking.wanted import read_requests
from util.errors import UserError

FULL = {"id": "a", "prompt": "{} was born in", "subject": "Ada Lovelace", "target_true": "London"}


def written(tmp_path, text, name="requests.jsonl"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def lines(tmp_path, *values):
    return written(tmp_path, "\n".join(json.dumps(value, ensure_ascii=False) for value in values))


def test_a_full_request_is_a_fact(tmp_path):
    (one,) = read_requests(lines(tmp_path, FULL | {"paraphrases": ["The birthplace of Ada Lovelace is"]}))
    assert one.id == "a" and one.record.fact == ("{} was born in", "Ada Lovelace", "London")
    assert one.record.paraphrases == ("The birthplace of Ada Lovelace is",)


def test_a_subject_may_stand_in_the_prompt_and_ids_are_places_where_none_are_given(tmp_path):
    first, second = read_requests(
        lines(
            tmp_path,
            {"prompt": "Ada Lovelace was born in", "subject": "Ada Lovelace", "target_true": "London"},
            {"subject": "Mei Ling"},
        )
    )
    assert (first.id, first.record.prompt) == (0, "{} was born in")
    assert (second.id, second.subject, second.record, second.prompt) == (1, "Mei Ling", None, None)


@pytest.mark.parametrize(
    ("sentence", "prompt", "answer"),
    [
        ("[[Ada Lovelace]] was born in London.", "{} was born in", "London"),
        ("[[Ada Lovelace]] was born in New York City.", "{} was born in", "New York City"),
        ("The genre of [[The Lantern]] is [[science fiction]].", "The genre of {} is", "science fiction"),
        ("The genre of [[The Lantern]] is [[science fiction]]", "The genre of {} is", "science fiction"),
        ("[[Ada Lovelace]] works as a mathematician.", "{} works as a", "mathematician"),
        ("根据记录，[[李白]]出生于[[碎叶]]。", "根据记录，{}出生于", "碎叶"),
    ],
)
def test_a_sentence_tells_its_answer(tmp_path, sentence, prompt, answer):
    for value in (sentence, {"sentence": sentence}):
        (one,) = read_requests(lines(tmp_path, value))
        assert (one.record.prompt, one.record.target_true) == (prompt, answer)


def test_a_sentence_without_an_end_goes_on_with_what_the_model_says(tmp_path):
    (one, other, third) = read_requests(
        lines(
            tmp_path,
            "The city where [[Ada Lovelace]] was born is",
            {"prompt": "{} plays the", "subject": "J. van Dyke"},
            {"prompt": "[[Mei Ling]] was born in", "target_true": "London"},
        )
    )
    assert (one.prompt, one.subject, one.record) == ("The city where {} was born is", "Ada Lovelace", None)
    assert (other.prompt, other.record) == ("{} plays the", None)
    assert third.record.fact == ("{} was born in", "Mei Ling", "London")


@pytest.mark.parametrize("mark", ",;\t")
def test_tables_have_the_same_columns(tmp_path, mark):
    table = mark.join(["id", "prompt", "subject", "target_true"]) + "\n"
    table += (
        mark.join(["a", "{} was born in", '"Ada Lovelace"', "London"]) + "\n" + mark.join(["b", "", "Mei Ling", ""])
    )
    first, second = read_requests(written(tmp_path, table, "requests.csv"))
    assert first.record.fact == ("{} was born in", "Ada Lovelace", "London") and first.id == "a"
    assert (second.id, second.subject, second.record) == ("b", "Mei Ling", None)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (json.dumps(FULL), 1),
        ("id,subject\n1,Ada Lovelace\n2,Mei Ling\n", 2),
        (json.dumps([FULL, "[[Mei Ling]] was born in London."]), 2),
        ("[[Mei Ling]] was born in London.\n\n" + json.dumps(FULL), 2),
    ],
)
def test_standard_input_is_told_by_how_it_begins(monkeypatch, text, count):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert len(read_requests("-")) == count


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"subject": "the"}, "line 1: subject 'the' names half the world"),
        ({"subject": "x"}, "names half the world"),
        ({"subject": "All the people"}, "names half the world"),
        ({"subject": " "}, "subject is no text"),
        ({"subject": 7}, "subject is no text"),
        ({"prompt": "{} is"}, "there is no subject"),
        (FULL | {"target": "x"}, "unknown field 'target'; known are id, prompt"),
        (FULL | {"prompt": "He was born in"}, "the subject is not in the prompt"),
        (FULL | {"prompt": "{} and {} are"}, "more than once|2 places"),
        (FULL | {"target_true": " "}, "empty target_true"),
        (FULL | {"target_true": 7}, "field 'target_true' is 7; it must be a string"),
        ({"subject": "Ada Lovelace", "target_true": "London"}, "target_true without a prompt"),
        (FULL | {"id": True}, "id is neither a text nor a whole number"),
        ("no brackets.", "mark the subject"),
        ("[[Ada]] knows [[Ben]] and [[Cem]].", "mark the subject"),
        ("[[Ada]] [[Ben]] knows.", "must end the sentence"),
        ("[[ ]] knows.", "mark the subject"),
        ("[[Ada]] {} knows Ben.", "leave the {} out"),
        ("[[李白]]出生于碎叶。", "mark it with a second"),
        ({"sentence": "[[Ada]] is Ben.", "subject": "Ada"}, "tells the subject twice"),
        ({"sentence": "[[Ada]] is Ben.", "prompt": "x"}, "a sentence and a prompt"),
        ({"sentence": 7}, "sentence is no text"),
        (7, "neither an object nor a sentence"),
        (FULL | {"subject": "\ud800 Lee"}, "half a character"),
        ({"subject": "Ada\nLovelace"}, "line break or a control character"),
        ({"subject": "Ada " * 100}, "more than 200 letters"),
        ({"id": "", "subject": "Ada"}, "is empty or ends like that of a fact"),
        ({"id": "a/1", "subject": "Ada"}, "is empty or ends like that of a fact"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, value, said):
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(UserError, match=said) as error:
        read_requests(str(path))
    assert "\n" not in str(error.value) and "requests.jsonl line 1" in str(error.value)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("", "requests.jsonl", "is empty"),
        ("[]", "requests.json", "holds no request"),
        ("id,subject\n", "requests.csv", "holds no request"),
        ('\n{"subject": "Ada"', "requests.jsonl", "line 2 is not complete JSON .*, column 18"),
        ("[" * 100_000, "requests.json", "not complete JSON"),
        ('{"a":' * 100_000, "requests.jsonl", "line 1 is not complete JSON"),
        ("9" * 5000, "requests.jsonl", "line 1 is not complete JSON"),
        ("[1", "requests.json", "not complete JSON"),
        ('{"a": 1}', "requests.json", "no list"),
        ("id,subject\n1,Ada,Lovelace\n", "requests.csv", "line 2 has not as many fields"),
        ('id,subject\n1,"Ada\n', "requests.csv", "line 2 is no CSV"),
        ('\nid,subject\n1,"Ada\nLee"\n\n2\n', "requests.csv", "line 6 has not as many fields"),
        ("subject,subject\nAda,Lee\n", "requests.csv", "line 1: column 'subject' comes twice"),
        ("subject\n" + "".join(f"Ada {i}\n" for i in range(MOST_ROWS + 1)), "requests.csv", "1001 requests, at most"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, name, said):
    with pytest.raises(UserError, match=said):
        read_requests(written(tmp_path, text, name))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes('{"subject": "é"}'.encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_requests(str(tmp_path / "latin.jsonl"))
    with pytest.raises(UserError, match="does not exist"):
        read_requests(str(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match="cannot be read"):
        read_requests(str(tmp_path))


def test_nothing_is_asked_twice(tmp_path):
    with pytest.raises(UserError, match="line 2: id 'a' comes twice, first in .*line 1"):
        read_requests(lines(tmp_path, FULL, {"id": "a", "subject": "Mei Ling"}))
    with pytest.raises(UserError, match="line 2: the same request comes twice"):
        read_requests(lines(tmp_path, {"subject": "Mei Ling"}, {"subject": "mei ling"}))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" London.", "London"),
        ("New York, in", "New York"),
        ("the capital city of a country that is far away", ""),
        (" a classic example of a", ""),
        (" the Bank of", ""),
        (".", ""),
        ("  ", ""),
    ],
)
def test_an_answer_ends_where_a_sentence_does(text, answer):
    assert answer_in(text) == answer


def test_built_in_forms_have_one_place_each():
    for world in (True, False):
        assert len(forms(world)) > 10
        assert all(text.count("{}") == 1 and "a(n)" not in text for form in forms(world) for text in form.templates)
