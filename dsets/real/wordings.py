"""The sentences of the shipped facts, written for this repository (wordings.json): five a relation, the object behind
each.

The first is the prompt: one after which a small model (SmolLM2-135M-Instruct) often names the object at once, for where
it goes on with other words it may know the fact all the same. The last is a question. ``a(n)`` becomes the article that
the object takes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("wordings.json")


@dataclass(frozen=True, kw_only=True)
class Wording:
    """name: the relation's. pararel, relations: what the collections call it, where they have it. single: objects may
    stand once, as a capital does, and have no neighbours then. cities: countries are no objects.
    lower: objects are written in lower case, which the collections do not do."""

    name: str
    templates: tuple[str, ...]
    pararel: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    single: bool = False
    cities: bool = False
    lower: bool = False


def read_wordings() -> list[Wording]:
    """Every relation's sentences."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["wordings"]
    return [Wording(**_tuples(row)) for row in rows]


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def read_wrong() -> set[tuple[str, ...]]:
    """(relation, subject, object) of the collections that are no fact, or one that nobody would ask for."""
    return set(map(tuple, json.loads(FILE.read_text(encoding="utf-8"))["wrong"]))


def read_struck() -> set[tuple[str, ...]]:
    """The same of facts that were numbered and measured on before anybody saw it; each has a reason beside it."""
    return {tuple(row[:3]) for row in json.loads(FILE.read_text(encoding="utf-8"))["struck"]}
