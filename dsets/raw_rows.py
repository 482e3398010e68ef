"""Raw JSON rows: read from a file, looked into with complaints that name file, record and field, made into records."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dsets.record import Record
from dsets.texts import HALF_CHARACTER, is_text
from util.errors import UserError


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

    def text(self, field_name: str, optional: bool = False) -> str:
        """A string without the spaces around it; "" where an optional one is missing."""
        return (self.get(field_name, str, optional=optional) or "").strip()

    def filled(self, field_name: str) -> str:
        """A string that a record cannot do without. Raises Unusable if there is nothing in it."""
        text = self.text(field_name)
        if not text:
            raise Unusable(f"empty {field_name}")
        return text

    def texts(self, field_name: str, optional: bool = False) -> tuple[str, ...]:
        """The strings of a list that are not blank, without the spaces around them."""
        values = self.get(field_name, list, optional=optional) or []
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise self.error(f"{field_name}[{i}]", f"is {_short(value)}; it must be a string")
        return tuple(value.strip() for value in values if value.strip())

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


def read_rows(content: bytes, source: str, lines: bool = False) -> list[RawRow]:
    """The objects of a JSON array, or of JSON lines; blank lines are no records.

    Raises UserError for what is no UTF-8, no complete JSON, no list of objects, or empty, and for half characters.
    """
    try:
        text = content.decode("utf-8-sig")
        values = list(_json_lines(text, source)) if lines else json.loads(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is not UTF-8 text: {error}; it must be JSON") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{source} is not complete JSON ({error}); {_json_advice(text)}") from error
    if not isinstance(values, list):
        raise UserError(f"{source} holds {_short(values)}; it must be a JSON list of records")
    if not values:
        raise UserError(f"{source} is an empty data set; it must hold at least one record")
    halves = "\\ud" in text.lower()  # or whole pairs: only then is it worth the time to look
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise UserError(f"{source}: record {index} (from 0) is {_short(value)}; it must be an object")
        if halves and not is_text(json.dumps(value, ensure_ascii=False)):
            raise UserError(f"{source}: record {index} (from 0) holds {HALF_CHARACTER}")
    return [RawRow(value, source, index) for index, value in enumerate(values)]


def _json_lines(text: str, source: str) -> Iterator:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{source}: line {number} is not complete JSON ({error}); one object a line") from error


def _json_advice(text: str) -> str:
    if not text.strip():
        return "the file is empty"
    if text.lstrip().startswith("{"):
        return "a file with one object a line must be named .jsonl"
    return "if it was cut off, delete it and fetch it again"


_JSON_NAMES = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


def _short(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
