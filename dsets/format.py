"""What a data set's class has to say: where its file comes from, how its rows look, and how they become records."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from dsets.download import Upstream
from dsets.raw_rows import Collected, RawRow, Unusable
from util.writing import occurrences


class Format(ABC):
    """Base of every data set's class. A new one: these names, and one line in DATASETS.

    metric: "counterfact", "zsre" or "mquake", how its numbers are defined. upstream: its published file, None for a
    format that only users' own files have. shipped: the file in the repository that is read instead.
    """

    metric: ClassVar[str]
    upstream: ClassVar[Upstream | None] = None
    shipped: ClassVar[Path | None] = None
    description: ClassVar[str]
    """The fields that tell the format, for messages."""

    @staticmethod
    @abstractmethod
    def recognises(value: dict) -> bool:
        """Whether a raw row has this format's shape."""

    @classmethod
    @abstractmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        """Append the row's record or records. Raises UserError for a broken row."""

    @classmethod
    def collect(cls, rows: Iterable[RawRow]) -> Collected:
        """All rows' records. Raises UserError for a broken row and for a case id that comes twice."""
        collected, seen = Collected(), set()
        for row in rows:
            before = len(collected.records)
            cls.add(row, collected)
            for record in collected.records[before:]:
                if record.case_id in seen:
                    raise row.error("case_id", f"{record.case_id!r} comes twice; case ids must differ")
                seen.add(record.case_id)
        return collected


def template(row: RawRow, field_name: str, subject: str) -> tuple[str, str]:
    """A prompt as written with exactly one ``{}``, and the subject that fills it in (see `marked`).

    The ``{}`` is written, or is put where the filled-in subject stands. Raises Unusable where the subject's place is
    not one place.
    """
    prompt = row.filled(field_name, as_written=True)
    count = prompt.count("{}")
    if count > 1:
        raise Unusable("the subject stands more than once in the prompt")
    return (prompt, subject) if count else marked(prompt, subject, "prompt (write '{}' where it stands)")


def marked(text: str, subject: str, name: str) -> tuple[str, str]:
    """The text, which messages call `name`, with ``{}`` in the subject's place, and the subject as the text spells it.

    It must stand there once as a word or words of its own (`util.writing.occurrences`); Unicode forms are compared in
    NFC, and the model is given the text's own. Raises Unusable where its place is not one place.
    """
    places = occurrences(text, subject)
    if not places:
        within = " but inside other words" if subject in text else ""
        raise Unusable(f"the subject is not in the {name}{within}")
    if len(places) > 1:
        raise Unusable(f"the subject stands more than once in the {name}")
    begin, end = places[0]
    return text[:begin] + "{}" + text[end:], text[begin:end]
