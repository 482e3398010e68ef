"""What a data set's class has to say: where its file comes from, how its rows look, and how they become records."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from dsets.download import Upstream
from dsets.raw_rows import Collected, RawRow, Unusable


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


def template(row: RawRow, field_name: str, subject: str) -> str:
    """A prompt with exactly one ``{}``, which is written, or put where the filled-in subject stands.

    Raises Unusable where the subject's place is not one place.
    """
    prompt = row.filled(field_name)
    count = prompt.count("{}")
    if count > 1:
        raise Unusable("the subject stands more than once in the prompt")
    return prompt if count else marked(prompt, subject, "prompt (write '{}' where it stands)")


def marked(text: str, subject: str, name: str) -> str:
    """The text, which messages call `name`, with ``{}`` in the subject's place.

    Letters of the subject inside other words do not count if it also stands there as a word of its own. Raises
    Unusable where its place is not one place.
    """
    places = [match.span() for match in re.finditer(re.escape(subject), text)]
    if len(places) > 1:
        whole = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(subject)}(?!\w)", text)]
        places = whole if len(whole) == 1 else places
    if not places:
        raise Unusable(f"the subject is not in the {name}")
    if len(places) > 1:
        raise Unusable(f"the subject stands more than once in the {name}")
    begin, end = places[0]
    return text[:begin] + "{}" + text[end:]
