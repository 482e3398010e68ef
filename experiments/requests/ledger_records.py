"""An append-only chain of records in a folder: each holds the hash of the one before, a head names the last.

    with open_chain(folder) as chain: chain.append("request", {…})

A record is a file that appears whole. One process at a time has the chain. What was changed, removed, added by hand or
put back to an older state beside its head is refused; that a whole folder was put back to an older state cannot be seen
from within it, so keep the head's hash elsewhere where that matters (`open_chain(expected=…)`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from util.errors import UserError
from util.runs import write_json, write_text

FIRST = "0" * 64
"""What the first record has in place of the hash of the one before."""


@dataclass(frozen=True)
class Record:
    """kind, body: what it says. previous: hash of the record before. hash: of all of this."""

    number: int
    kind: str
    body: Mapping[str, Any]
    previous: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(vars(self), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass
class Chain:
    """The records of a folder, oldest first; made by `open_chain`."""

    folder: Path
    records: list[Record] = field(default_factory=list)

    @property
    def head(self) -> str:
        """Hash of the last record."""
        return self.records[-1].hash if self.records else FIRST

    def append(self, kind: str, body: Mapping[str, Any]) -> Record:
        """Write a record; it counts from the moment its file has its name. UserError where it cannot be written."""
        record = Record(len(self.records) + 1, kind, body, self.head)
        try:
            write_json(_file(self.folder, record.number), {**vars(record), "hash": record.hash})
            self.records.append(record)
            write_text(self.folder / "HEAD", self.head + "\n")
        except OSError as error:
            raise UserError(
                f"ledger {self.folder} cannot be written ({error.strerror}); make room and repeat"
            ) from error
        return record


def has_records(folder: Path) -> bool:
    """Whether a chain was begun in the folder."""
    return _file(folder, 1).is_file()


def _file(folder: Path, number: int) -> Path:
    return folder / "records" / f"{number:06d}.json"


@contextmanager
def open_chain(folder: Path, expected: str | None = None) -> Iterator[Chain]:
    """The chain in a folder, empty where there is none, for this process alone; it is checked from end to end.

    expected: the hash that its head must have. Raises UserError for a chain that another process has open or that is
    not as it was written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"ledger {folder} cannot be made ({error.strerror}); name another folder") from error
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UserError(f"ledger {folder} is in use by another process; wait until it has ended") from error
    try:
        yield _checked(folder, expected)
    finally:
        lock.release()


def _checked(folder: Path, expected: str | None) -> Chain:
    chain = Chain(folder)
    names = sorted(path.name for path in (folder / "records").glob("[!.]*"))
    for number, name in enumerate(names, 1):
        record = _read(folder, number, name)
        if record.previous != chain.head:
            raise UserError(f"ledger {folder}: record {number} does not follow the one before; restore the folder")
        chain.records.append(record)
    _check_head(chain)
    if expected is not None and chain.head != expected:
        raise UserError(f"ledger {folder} ends in {chain.head[:12]}…, not in {expected[:12]}… as expected; restore it")
    return chain


def _read(folder: Path, number: int, name: str) -> Record:
    path = _file(folder, number)
    if name != path.name:
        raise UserError(f"ledger {folder}: {name} stands where record {number} should; restore the folder")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        claimed = values.pop("hash")
        record = Record(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"ledger {folder}: {name} is no record ({error}); restore the folder") from error
    if record.hash != claimed or record.number != number:
        raise UserError(f"ledger {folder}: {name} was changed after it was written; restore the folder")
    return record


def _check_head(chain: Chain) -> None:
    """The head names the last record, or the one before where a process ended between writing the two."""
    path = chain.folder / "HEAD"
    named = path.read_text(encoding="utf-8").strip() if path.is_file() else FIRST
    possible = [record.hash for record in chain.records[-2:]] or [FIRST]
    if named not in (*possible, *([FIRST] if len(chain.records) <= 1 else [])):
        raise UserError(
            f"ledger {chain.folder}: HEAD names a record ({named[:12]}…) that is not its last; "
            "the folder was put back to an older state or mixed with another one: restore it"
        )
    if chain.records and named != chain.head:
        write_text(path, chain.head + "\n")
