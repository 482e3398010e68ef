"""What a request file asks for: one Wanted a row, checked before any model is loaded."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dsets import Record
from dsets.format import marked
from dsets.raw_rows import Collected, RawRow, Unusable
from dsets.schemas.own_facts import OPTIONAL, Facts
from experiments.requests.asking.request_rows import Row, read_rows_of
from util.errors import UserError

MARK = re.compile(r"\[\[(.*?)\]\]")
FIELDS = ("id", "prompt", "subject", "target_true", "sentence", *(name for name in OPTIONAL if name != "case_id"))
FORMS = (
    "prompt, subject and target_true; subject alone; subject and prompt; or a sentence with [[the subject]] in double "
    "brackets"
)
LEAST_LETTERS = 2
EVERYBODY = frozenset(
    "the a an this that these those it its he she they we you i his her their our my your who what which one some any "
    "all every each no not none is are was were be been am do does did has have had will would can could may must and "
    "or but if of in on at to for from with by as about into than then there here so very yes everything everyone "
    "everybody anyone anything someone something nobody nothing people person man men woman women child children human "
    "humans humanity life world earth country countries city cities name names fact facts thing things".split()
)
"""Words that are no subject by themselves: what they stand for is half the world."""


PART = re.compile(r"(.+)/\d+")
"""Id of a fact that a request for a subject brings: the request's id and a number."""
LONGEST_SUBJECT = 200
"""Letters: nothing is called by more, and a text where a name should stand is a mistake."""


def request_of(name: str) -> str:
    """The id of the request that brought the fact of this id."""
    found = PART.fullmatch(name)
    return found[1] if found else name


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A row's order. record: the fact, where the row tells it in full. prompt: a template without an answer: what the
    model says after it is to go. Neither: all that the model says of the subject. settled: the facts that it came to in
    an earlier call, which a ledger has kept."""

    id: int | str
    place: str
    subject: str
    record: Record | None = None
    prompt: str | None = None
    settled: tuple[Record, ...] = ()


def read_requests(name: str) -> list[Wanted]:
    """The requests of a file or of standard input (``-``).

    Raises UserError, one line with file, line and remedy, for the first row that is none: unknown or missing fields, a
    subject that is not in its prompt, one that names half the world, an id or a fact that comes twice.
    """
    wanted = [_wanted(row, number) for number, row in enumerate(read_rows_of(name))]
    _refuse_repeats(wanted)
    return wanted


def _wanted(row: Row, number: int) -> Wanted:
    unknown = sorted(row.value.keys() - set(FIELDS))
    if unknown:
        raise row.error(f"unknown field {unknown[0]!r}; known are {', '.join(FIELDS)}")
    name = row.value.get("id", number)
    if isinstance(name, bool) or not isinstance(name, int | str):
        raise row.error("id is neither a text nor a whole number; write one of them, or leave it out")
    if not str(name).strip() or request_of(str(name)) != str(name):
        raise row.error(f"id {name!r} is empty or ends like that of a fact (/1); write another, or leave it out")
    fields = _unmarked(row)
    if "subject" not in fields:
        raise row.error(f"there is no subject; write {FORMS}")
    subject = _checked_subject(row, fields["subject"])
    if "prompt" not in fields:
        if "target_true" in fields:
            raise row.error("target_true without a prompt; write the prompt too, or leave target_true out")
        return Wanted(id=name, place=row.place, subject=subject)
    if "target_true" not in fields:
        template, subject = _template(row, _text(row, fields, "prompt"), subject)
        return Wanted(id=name, place=row.place, subject=subject, prompt=template)
    record = _record(row, {**fields, "subject": subject, "case_id": name})
    return Wanted(id=name, place=row.place, subject=record.subject, record=record)


def _unmarked(row: Row) -> dict[str, object]:
    """The row's fields, those that a sentence or a prompt with [[…]] tells among them."""
    fields = dict(row.value)
    sentence = fields.pop("sentence", None)
    text = sentence if sentence is not None else fields.get("prompt")
    if sentence is not None and "prompt" in fields:
        raise row.error("has a sentence and a prompt; leave one of them out")
    if not isinstance(text, str) or (sentence is None and not MARK.search(text)):
        if sentence is not None:
            raise row.error("sentence is no text; write one")
        return fields
    if "subject" in fields:
        raise row.error("tells the subject twice, by [[…]] and by subject; leave one of them out")
    told = _told(row, text, "target_true" in fields)
    return fields | told


def _told(row: Row, text: str, answered: bool) -> dict[str, object]:
    """Subject, prompt and, where it is told, the answer of a sentence.

    The first [[…]] is the subject, a second at the end the answer. Without a second a sentence that ends with a full
    stop ends with its answer: the names (capitals, digits) that it ends with, or else its last word. Other sentences go
    on with what the model says.
    """
    marks = list(MARK.finditer(text))
    if not marks or len(marks) > 2 or not all(mark[1].strip() for mark in marks):
        raise row.error(f"{text[:60]!r}: mark the subject, and at most the answer too, with [[…]]")
    subject, before = marks[0][1].strip(), text[: marks[0].start()]
    if "{}" in text:
        raise row.error(f"{text[:60]!r} has [[…]] and {{}}; leave the {{}} out")
    rest = text[marks[0].end() :]
    if len(marks) == 2:
        if text[marks[1].end() :].strip(" .!。"):
            raise row.error(f"{text[:60]!r}: the answer, the second [[…]], must end the sentence")
        rest, answer = text[marks[0].end() : marks[1].start()], marks[1][1].strip()
    elif answered or not rest.rstrip().endswith((".", "。")):
        return {"subject": subject, "prompt": f"{before}{{}}{rest.rstrip()}"}
    else:
        rest, answer = _ending(row, rest.rstrip().rstrip(".。"))
    return {"subject": subject, "prompt": f"{before}{{}}{rest.rstrip()}", "target_true": answer}


def _ending(row: Row, rest: str) -> tuple[str, str]:
    """What stands before a sentence's answer, and the answer."""
    words = rest.split(" ")
    count = 1
    while count < len(words) and all(word[:1].isupper() or word[:1].isdigit() for word in words[-count - 1 :]):
        count += 1
    answer = " ".join(words[-count:])
    if len(words) < 2 or not any(map(str.isalnum, answer)) or answer.casefold() in EVERYBODY:
        raise row.error(f"the answer cannot be told from {rest.strip()[:60]!r}; mark it with a second [[…]]")
    return rest[: len(rest) - len(answer)], answer


def _text(row: Row, fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.strip():
        raise row.error(f"{name} is no text; write one")
    return value


def _checked_subject(row: Row, value: object) -> str:
    subject = _text(row, {"subject": value}, "subject").strip()
    if not subject.isprintable() or len(subject) > LONGEST_SUBJECT:
        raise row.error(
            f"subject {subject[:40]!r} has a line break or a control character, or more than {LONGEST_SUBJECT} "
            "letters; write a name"
        )
    words = re.findall(r"\w+", subject.casefold())
    if sum(map(str.isalnum, subject)) < LEAST_LETTERS or all(word in EVERYBODY for word in words):
        raise row.error(f"subject {subject!r} names half the world; name one person, place or thing")
    return subject


def _template(row: Row, prompt: str, subject: str) -> tuple[str, str]:
    if prompt.count("{}") == 1:
        return prompt, subject
    if "{}" in prompt:
        raise row.error(f"prompt {prompt[:60]!r} has {prompt.count('{}')} places for the subject; write one {{}}")
    try:
        return marked(prompt, subject, "prompt")
    except Unusable as reason:
        raise row.error(f"{reason}; write {{}} where it stands") from reason


def _record(row: Row, fields: dict[str, object]) -> Record:
    """The fact of a row that tells it in full, read as a user's own facts are (`dsets.schemas.own_facts`)."""
    collected = Collected()
    value = {name: one for name, one in fields.items() if name != "id"}
    try:
        Facts.add(RawRow(value, row.place, 0), collected)
    except UserError as error:
        raise row.error(str(error).partition("(from 0): ")[2] or str(error)) from error
    if collected.skipped:
        raise row.error(f"{next(iter(collected.skipped))}; mend it")
    return collected.records[0]


def _refuse_repeats(wanted: Iterable[Wanted]) -> None:
    places: dict[object, str] = {}
    for one in wanted:
        fact = one.record.fact if one.record else (one.prompt, one.subject.casefold(), None)
        for key, what in ((("id", str(one.id)), f"id {one.id!r}"), (fact, "the same request")):
            if key in places:
                raise UserError(f"{one.place}: {what} comes twice, first in {places[key]}; leave one of them out")
            places[key] = one.place
