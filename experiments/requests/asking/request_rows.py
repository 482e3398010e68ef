"""The rows of a request file: JSON lines, a JSON list, CSV or standard input, each with its place for complaints."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsets import named_files
from dsets.texts import HALF_CHARACTER, is_text
from util.errors import NotJson, UserError, parsed

STDIN = "-"
MOST_ROWS = 1000
"""Requests of one file: the closed forms are tried up to so many facts, and a longer list is more often a mistake."""


@dataclass(frozen=True)
class Row:
    """value: an object's fields, or a sentence under ``sentence``. place: file and line or record."""

    value: dict[str, object]
    place: str

    def error(self, complaint: str) -> UserError:
        """The complaint, with its place."""
        return UserError(f"{self.place}: {complaint}")


def read_rows_of(name: str) -> list[Row]:
    """Every row of a file, or of standard input for ``-``. Raises UserError, one line, for what cannot be read."""
    if name == STDIN:
        source, content, suffix = "standard input", sys.stdin.buffer.read(), ""
    else:
        path = named_files.find(name)
        if path is None:
            raise UserError(f"--requests {name} does not exist; name a JSON Lines, JSON or CSV file, or - for stdin")
        source, content, suffix = str(path), named_files.read(path), Path(name).suffix.lower()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is not UTF-8 text ({error}); save it as UTF-8") from error
    if not text.strip():
        raise UserError(f"{source} is empty; write one request a line")
    rows = list(_rows(text, source, suffix))
    if not rows:
        raise UserError(f"{source} holds no request; write one a line")
    if len(rows) > MOST_ROWS:
        raise UserError(
            f"{source} holds {len(rows)} requests, at most {MOST_ROWS} are taken at a time; "
            "split it, and unlearn the parts one after the other"
        )
    for row in rows:
        if not is_text(json.dumps(row.value, ensure_ascii=False)):
            raise row.error(f"holds {HALF_CHARACTER}")
    return rows


def _rows(text: str, source: str, suffix: str) -> Iterator[Row]:
    begin = text.lstrip()[0]
    if suffix == ".json" or (not suffix and begin == "[" and not text.lstrip().startswith("[[")):
        return _from_list(text, source)
    if suffix in (".csv", ".tsv") or (not suffix and begin not in '{"['):
        return _from_table(text, source)
    return _from_lines(text, source)


def _from_lines(text: str, source: str) -> Iterator[Row]:
    """JSON values, one a line; a line that is a sentence with [[…]] stands for itself."""
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{source} line {number}"
        if not line.strip():
            continue
        if line.strip()[0] not in '{"' and "[[" in line:
            yield Row({"sentence": line.strip()}, place)
            continue
        try:
            value = parsed(line)
        except NotJson as error:
            raise UserError(
                f"{place} is not complete JSON ({_complaint(error)}); one object or sentence a line"
            ) from error
        yield _row(value, place)


def _complaint(error: NotJson) -> str:
    """What is wrong with a line's JSON, less the line that json counts from 1."""
    cause = error.__cause__
    return f"{cause.msg}, column {cause.colno}" if isinstance(cause, json.JSONDecodeError) else str(error)


def _from_list(text: str, source: str) -> Iterator[Row]:
    try:
        values = parsed(text)
    except NotJson as error:
        raise UserError(
            f"{source} is not complete JSON ({error}); a file with one object a line is a .jsonl"
        ) from error
    if not isinstance(values, list):
        raise UserError(f"{source} holds one JSON value that is no list; write [ … ], or one object a line (.jsonl)")
    return (_row(value, f"{source} record {number}") for number, value in enumerate(values, 1))


def _from_table(text: str, source: str) -> Iterator[Row]:
    """CSV with a header; commas, semicolons or tabs, whichever the header has most of."""
    body = text.lstrip()
    skipped = text[: len(text) - len(body)].count("\n")
    reader = csv.reader(io.StringIO(body), delimiter=max(",;\t", key=body.partition("\n")[0].count), strict=True)
    header: list[str] | None = None
    place = f"{source} line {skipped + 1}"
    try:
        for values in reader:
            if header is None:
                header = _header(values, place)
            elif values:
                if len(values) != len(header):
                    raise UserError(f"{place} has not as many fields as the header; put texts with commas in quotes")
                yield Row({name: one for name, one in zip(header, values, strict=True) if one.strip()}, place)
            place = f"{source} line {skipped + reader.line_num + 1}"
    except csv.Error as error:
        raise UserError(f"{place} is no CSV ({error}); mend its quotes") from error


def _header(values: list[str], place: str) -> list[str]:
    names = [name.strip() for name in values]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{place}: column {twice[0]!r} comes twice; leave one of them out")
    return names


def _row(value: object, place: str) -> Row:
    if isinstance(value, str):
        return Row({"sentence": value}, place)
    if not isinstance(value, dict):
        raise UserError(f"{place} is neither an object nor a sentence; write {{…}} or a text with [[the subject]]")
    return Row({name: one for name, one in value.items() if one is not None}, place)
