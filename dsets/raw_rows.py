"""Raw JSON rows: read from a file, looked into with complaints that name file, record and field, made into records."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dsets.record import Record
from dsets.texts import HALF_CHARACTER, is_text
from util.errors import NotJson, UserError, parsed


class Unusable(Exception):
    """A well-formed record that no experiment can use; str() is the reason. It is counted, not fatal."""


@dataclass(frozen=True)
class RawRow:
    """One JSON object with the place it has: `source` (file), record `index` counted from 0, and `path` inside it."""

    value: dict
    source: str
    index: int
    path: str = ""

    def get(self, field_name: str, *kinds: type, optional: bool = False):
        """The value under a dotted name. Raises UserError if it is missing or not of one of the kinds.

        With `optional`, None stands for a missing field and for JSON's null.
        """
        value = self.value
        for part in field_name.split("."):
            if not isinstance(value, dict) or part not in value:
                if optional:
                    return None
                raise self.error(field_name, "is missing")
            value = value[part]
        if optional and value is None:
            return None
        if not isinstance(value, kinds) or isinstance(value, bool):
            wanted = " or ".join(_JSON_NAMES[kind] for kind in kinds)
            raise self.error(field_name, f"is {_short(value)}; it must be {wanted}")
        return value

    def text(self, field_name: str, optional: bool = False, *, as_written: bool = False) -> str:
        """A string; "" where it is blank, or an optional one is missing.

        as_written: with the white space at its ends, here and below: prompts are asked as they are written.
        """
        return _tidy(self.get(field_name, str, optional=optional) or "", as_written)

    def filled(self, field_name: str, *, as_written: bool = False) -> str:
        """A string that a record cannot do without. Raises Unusable if there is nothing in it."""
        text = self.text(field_name, as_written=as_written)
        if not text:
            raise Unusable(f"empty {field_name}")
        return text

    def texts(self, field_name: str, optional: bool = False, *, as_written: bool = False) -> tuple[str, ...]:
        """The strings of a list that are not blank."""
        values = self.get(field_name, list, optional=optional) or []
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise self.error(f"{field_name}[{i}]", f"is {_short(value)}; it must be a string")
        return tuple(text for value in values if (text := _tidy(value, as_written)))

    def several(self, field_name: str, optional: bool = False, *, as_written: bool = False) -> tuple[str, ...]:
        """As `texts`, of a field that may hold a single string, too."""
        value = self.get(field_name, str, list, optional=optional)
        if isinstance(value, str):
            return (text,) if (text := _tidy(value, as_written)) else ()
        return self.texts(field_name, optional=optional, as_written=as_written)

    def first(self, field_name: str, optional: bool = False, *, as_written: bool = False) -> str:
        """The first string of a field that holds a string or a list of them, or lists of names for the same thing."""
        value = self.get(field_name, str, list, optional=optional) or ""
        while isinstance(value, list):
            value = value[0] if value else ""
        if not isinstance(value, str):
            raise self.error(field_name, f"begins with {_short(value)}; it must be a string")
        return _tidy(value, as_written)

    def pairs(self, field_name: str, other: str, optional: bool = False) -> list[tuple[str, str]]:
        """A prompt as written and its answer, one each or lists as long; pairs that are half or wholly blank go."""
        values = [self.get(name, str, list, optional=optional) for name in (field_name, other)]
        texts = [[value] if isinstance(value, str) else value or [] for value in values]
        if len(texts[0]) != len(texts[1]) or len({type(value) for value in values}) > 1:
            raise self.error(other, f"has not one text for each of {field_name!r}; mend it")
        for name, listed in zip((field_name, other), texts, strict=True):
            for text in listed:
                if not isinstance(text, str):
                    raise self.error(name, f"holds {_short(text)}; it must be a string")
        tidied = [(_tidy(one, True), two.strip()) for one, two in zip(*texts, strict=True)]
        return [pair for pair in tidied if all(pair)]

    @property
    def case_id(self) -> int | str:
        """The field of that name, or the record's place in the file."""
        given = self.get("case_id", int, str, optional=True)
        return self.index if given is None else given

    def rows(self, field_name: str, optional: bool = False) -> list["RawRow"]:
        """The objects of a list, as rows of the same record."""
        values = self.get(field_name, list, optional=optional) or []
        for i, value in enumerate(values):
            if not isinstance(value, dict):
                raise self.error(f"{field_name}[{i}]", f"is {_short(value)}; it must be an object")
        return [
            RawRow(value, self.source, self.index, f"{self.path}{field_name}[{i}].") for i, value in enumerate(values)
        ]

    def error(self, field_name: str, complaint: str) -> UserError:
        """The complaint about a field, with its place."""
        return UserError(f"{self.source}: record {self.index} (from 0): field {self.path + field_name!r} {complaint}")


@dataclass
class Collected:
    """Records gathered while a file is parsed; see Dataset for `skipped` and `notes`."""

    records: list[Record] = field(default_factory=list)
    skipped: dict[str, list[int | str]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[str, list[int | str]] = field(default_factory=lambda: defaultdict(list))
    facts: set[tuple[str, str, str]] = field(default_factory=set)
    """Facts already listed, for formats that repeat them."""

    @contextmanager
    def counting(self, case_id: int | str):
        """Turns Unusable inside the block into an entry of `skipped`."""
        try:
            yield
        except Unusable as reason:
            self.skipped[str(reason)].append(case_id)

    def note_gaps(self, record: Record) -> None:
        """Notes what a published record should have and this one has not; some metric then leaves it out."""
        for gap, missing in (
            ("no alternative answer", record.target_new is None),
            ("no paraphrase", not record.paraphrases),
            ("no neighbourhood prompt", not record.neighborhood),
        ):
            if missing:
                self.notes[gap].append(record.case_id)


LINES = (".jsonl", ".ndjson")
TABLES = (".parquet",)
WRAPPERS = ("data", "records", "rows", "examples", "facts")
"""Names under which an object holds the list of records beside other things (a version, an author)."""


def read_rows(content: bytes, source: str, suffix: str = ".json") -> list[RawRow]:
    """The records of a JSON array, of JSON lines or of a parquet table, as the file's suffix says; capitals are alike.

    Blank lines are no records. An object that holds the array under its one name, or under one of WRAPPERS, stands for
    it. Raises UserError for what is no UTF-8, no complete JSON, no list of objects, or empty, and for half characters.
    """
    if suffix.lower() in TABLES:
        from dsets.parquet import read_table  # arrow is loaded on demand: other files need none of it

        text, values = "", read_table(content, source)
    else:
        text, values = _json_values(content, source, suffix.lower() in LINES)
    values = _unwrapped(values, source)
    if not values:
        raise UserError(f"{source} is an empty data set; it must hold at least one record")
    halves = "\\ud" in text.lower()  # or whole pairs: only then is it worth the time to look
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise UserError(f"{source}: record {index} (from 0) is {_short(value)}; it must be an object")
        if halves and not is_text(json.dumps(value, ensure_ascii=False)):
            raise UserError(f"{source}: record {index} (from 0) holds {HALF_CHARACTER}")
    return [RawRow(value, source, index) for index, value in enumerate(values)]


def _json_values(content: bytes, source: str, lines: bool) -> tuple[str, Any]:
    try:
        text = content.decode("utf-8-sig")
        return text, list(_json_lines(text, source)) if lines else parsed(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is not UTF-8 text: {error}; it must be JSON") from error
    except NotJson as error:
        raise UserError(f"{source} is not complete JSON ({error}); {_json_advice(text)}") from error


def _unwrapped(values: Any, source: str) -> list:
    if isinstance(values, list):
        return values
    within = values if isinstance(values, dict) else {}
    lists = [name for name, value in within.items() if isinstance(value, list)]
    named = [name for name in lists if len(within) == 1 or name in WRAPPERS]
    if len(named) == 1:
        return within[named[0]]
    told = f", whose lists are {', '.join(map(repr, lists))}" if lists else ""
    raise UserError(f"{source} holds {_short(values)}{told}; it must be a JSON list of records")


def _json_lines(text: str, source: str) -> Iterator:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield parsed(line)
        except NotJson as error:
            raise UserError(f"{source}: line {number} is not complete JSON ({error}); one object a line") from error


def _json_advice(text: str) -> str:
    if not text.strip():
        return "the file is empty"
    if text.lstrip().startswith("{"):
        return "a file with one object a line must be named .jsonl"
    return "a data set is a .json, .jsonl or .parquet file; a fetched one that was cut off is to be deleted"


def _tidy(text: str, as_written: bool) -> str:
    return text if as_written and text.strip() else text.strip()


_JSON_NAMES = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


def _short(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
