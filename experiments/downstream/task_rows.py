"""Rows of downstream tasks in a local file: what they hold, read and checked. Knows nothing of the harness.

The file is a JSON object: task → list of rows, as the tasks' own data sets have them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsets.texts import is_text
from util.errors import UserError

CHOICES = "choices"
"""The field of an MMLU row that holds its answers."""


@dataclass(frozen=True)
class Kind:
    """One task: the harness's definition it is scored by, its rows' text fields, the field of the label, the labels.

    labels: what a row may give → the number of the definition's choice. choices: answers a row brings itself (0: none).
    """

    definition: str
    texts: tuple[str, ...]
    labels: dict[int | str, int]
    label: str = "label"
    choices: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that a row must have; it may have more."""
        return (*self.texts, *([CHOICES] if self.choices else []), self.label)


def _numbers(count: int) -> dict[int | str, int]:
    return {number: number for number in range(count)}


TASKS = {
    "sst2": Kind("sst2", ("sentence",), _numbers(2)),
    "mrpc": Kind("mrpc", ("sentence1", "sentence2"), _numbers(2)),
    "cola": Kind("cola", ("sentence",), _numbers(2)),
    "rte": Kind("rte", ("sentence1", "sentence2"), _numbers(2)),
    "nli": Kind("rte", ("sentence1", "sentence2"), {"entailment": 0, "not_entailment": 1}),
    "mnli": Kind("mnli", ("premise", "hypothesis"), _numbers(3)),
    "mmlu": Kind("mmlu", ("question", "subject"), _numbers(4), label="answer", choices=4),
}
"""Tasks that can be asked for. nli is RTE as GLUE's own text files have it: the labels are words."""


@dataclass(frozen=True)
class LocalRows:
    """tasks: name → rows as the definition wants them, in the file's order. digest: sha256 of the file."""

    path: Path
    digest: str
    tasks: dict[str, list[dict]]


def read_rows(path: Path, wanted: Sequence[str] | None = None) -> LocalRows:
    """The file's rows of the wanted tasks (default: of all that it has).

    Raises UserError for a file that is none, is no such JSON, has no row of a wanted task, or a row that is not whole.
    """
    try:
        content = path.read_bytes()
        found = json.loads(content)
    except OSError as error:
        raise UserError(f"--downstream_data {path} cannot be read ({error.strerror}); give a JSON file") from error
    except ValueError as error:
        raise UserError(f"--downstream_data {path} is no JSON ({error}); give task → list of rows") from error
    names = _names(path, found, wanted)
    tasks = {name: _rows(path, name, found[name]) for name in names}
    return LocalRows(path, hashlib.sha256(content).hexdigest(), tasks)


def _names(path: Path, found: object, wanted: Sequence[str] | None) -> list[str]:
    if not isinstance(found, dict) or not found:
        raise UserError(f"--downstream_data {path} holds no object; give task → list of rows, tasks of {_all(TASKS)}")
    unknown = [name for name in found if name not in TASKS]
    if unknown:
        raise UserError(f"--downstream_data {path} has unknown task {_all(unknown)}; tasks are {_all(TASKS)}")
    missing = [name for name in wanted or () if name not in found]
    if missing:
        raise UserError(f"--downstream_tasks {_all(missing)}: {path} has no such rows, only {_all(found)}")
    return [name for name in TASKS if name in (wanted or found)]


def _rows(path: Path, name: str, rows: object) -> list[dict]:
    if not isinstance(rows, list) or not rows:
        raise UserError(f"--downstream_data {path}: {name} is no list of rows; give at least one, or leave it out")
    return [_row(f"--downstream_data {path}: {name} row {index}", name, row) for index, row in enumerate(rows)]


def _row(place: str, name: str, row: object) -> dict:
    kind = TASKS[name]
    if not isinstance(row, dict):
        raise UserError(f"{place} is no object; give one with {_all(kind.fields)}")
    missing = [field for field in kind.fields if field not in row]
    if missing:
        raise UserError(f"{place} has no {_all(missing)}; rows of {name} hold {_all(kind.fields)}")
    for field in kind.texts:
        if not _is_text(row[field]):
            raise UserError(f"{place}: {field} is {row[field]!r}; give a text")
    if kind.choices and not _are_texts(row[CHOICES], kind.choices):
        raise UserError(f"{place}: {CHOICES} is {row[CHOICES]!r}; give a list of {kind.choices} texts")
    label = row[kind.label]
    if type(label) not in (int, str) or label not in kind.labels:
        raise UserError(f"{place}: {kind.label} is {label!r}; give one of {_all(map(repr, kind.labels))}")
    return {field: row[field] for field in kind.fields} | {kind.label: kind.labels[label]}


def _are_texts(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_is_text, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and is_text(value)


def _all(names) -> str:
    return ", ".join(names)
