"""Levels of forgetting about people, in the files of RWKU (Jin et al. 2024), from a folder or a file that the user has.

Files: forget_level1 (blanks), forget_level2 (questions), forget_level3 (adversarial attacks), neighbor_level1 and
neighbor_level2 (the same about related subjects, to be kept); .json, .jsonl or .parquet. Rows: query, answer and,
where it says whose row it is, subject; optional type and level. Two layouts are read:

- one set of files for all people: rows of the forget files belong to their `subject`; a neighbour's row belongs to the
  person in its optional `target`, and to every fact where it names none;
- one folder per target, inside one folder: all rows of a target's files belong to all its facts.

A file by itself is read as forget_level1 of all people, whatever its name.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from dsets import named_files
from dsets.raw_rows import LINES, TABLES, Collected, RawRow, Unusable, read_rows
from dsets.record import LevelProbe, Record
from util.errors import UserError
from util.writing import occurrences

LEVEL_FILES = {
    "level_1": "forget_level1",
    "level_2": "forget_level2",
    "level_3": "forget_level3",
    "neighbor_1": "neighbor_level1",
    "neighbor_2": "neighbor_level2",
}
"""Level → file name without its suffix. The first one must be there: it has the facts."""

DESCRIPTION = "query, answer, subject (RWKU's forget_level1, or the folder with all its files)"
"""The fields that tell RWKU's rows, for messages."""

FORMS = {
    "level_1": "Fill in the blank. {query}\nAnswer:",
    "level_2": "{query}\nAnswer:",
    "level_3": "{query}",
    "neighbor_1": "Fill in the blank. {query}\nAnswer:",
    "neighbor_2": "{query}\nAnswer:",
}
"""How a query is asked. The wording is ours, the same for base and chat models, inside the chat template where one
is asked for; attacks are asked as they are, for their form is the attack."""

ENDINGS = (".json", *LINES, *TABLES)

BLANK = re.compile(r"[\"'“‘„‚«‹(\[*`]*_{3,}")
"""A blank, with the opening quotes and brackets that stand at it: they are no part of the text before it."""

NO_FACT = "no fact to edit: "
UNASKED = "no fact of its subject can be edited, so it is not asked"
STRADDLES = "their subject has facts in both halves of the records"


@dataclass(frozen=True)
class Found:
    """What was found. size, digest: bytes of all files read, and the sha256 of their names and contents."""

    collected: Collected
    size: int
    digest: str


@dataclass(frozen=True)
class _Item:
    """One usable row: its case id, whose it is ("": everybody's in its set of files), and what it asks."""

    case_id: int | str
    level: str
    owner: str
    row: RawRow
    query: str
    answer: str

    @property
    def shared(self) -> bool:
        """Whether it is about a neighbour of all people of its set of files."""
        return self.level.startswith("neighbor") and not self.owner

    @property
    def probe(self) -> LevelProbe:
        return LevelProbe(
            level=self.level,
            prompt=FORMS[self.level].replace("{query}", self.query),
            answer=self.answer,
            kind=self.row.text("type", optional=True),
        )


def recognises(value: dict) -> bool:
    """Whether a raw row has the shape of RWKU's."""
    return {"query", "answer"} <= value.keys()


def read_file(path: Path, content: bytes) -> Found:
    """Facts of a lone forget_level1, each with the blanks about its subject as level_1.

    Raises UserError for a file that is named like another level's: those have no facts to edit.
    """
    first = LEVEL_FILES["level_1"]
    if path.stem.lower() in set(LEVEL_FILES.values()) - {first}:
        raise UserError(f"{path} asks about facts but holds none; put {first}.json beside it, and name their folder")
    collected = Collected()
    _add(list(_items("level_1", path, content, "", collected)), collected)
    return _found(collected, [(path.name, content)])


def read_folder(folder: Path) -> Found:
    """Facts to forget, each with the probes of its subject or target and of the neighbours.

    The facts are the rows of forget_level1 whose one blank stands after the subject, to be edited at the text before
    it; other rows are named in `skipped`, and are asked with the subject's facts all the same. A subject's facts stand
    together, in one half of the records where the numbers allow it.
    Raises UserError for a folder without such files and for broken rows, naming file, record and field.
    """
    collected, contents = Collected(), []
    for part, name in _sets(folder):
        paths = {level: path for level, stem in LEVEL_FILES.items() if (path := _file(part, stem))}
        for level, stem in LEVEL_FILES.items():
            if level not in paths:
                collected.notes[f"no file {stem}.json"].append(part.name)
        read = {level: (path, named_files.read(path)) for level, path in paths.items()}
        contents += [(path.relative_to(folder).as_posix(), content) for path, content in read.values()]
        items = [item for level, one in read.items() for item in _items(level, *one, name, collected)]
        _add(items, collected)
    return _found(collected, contents)


def _found(collected: Collected, contents: list[tuple[str, bytes]]) -> Found:
    collected.records = _halves(collected.records, collected)
    digest = hashlib.sha256()
    for place, content in contents:
        digest.update(f"{place} {len(content)}\n".encode() + content)
    return Found(collected, sum(len(content) for _, content in contents), digest.hexdigest())


def _sets(folder: Path) -> list[tuple[Path, str]]:
    """(folder with files, name of its target); the name is "" where one set is for all people."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); name a readable folder") from error
    targets = [path for path in inside if any(_file(path, stem) for stem in LEVEL_FILES.values())]
    first = LEVEL_FILES["level_1"]
    if _file(folder, first):
        if targets:
            raise UserError(f"{folder} has {first} itself and in {targets[0].name}/; name a folder with one of the two")
        return [(folder, "")]
    if not targets:
        raise UserError(
            f"{folder} cannot be read: neither it nor a folder in it has {first}.json; "
            "name such a folder, or a JSON/JSONL file"
        )
    for target in targets:
        if not _file(target, first):
            raise UserError(f"{target} has no {first}.json, which has its facts; put it there, or take the folder out")
    return [(target, target.name) for target in targets]


def _file(folder: Path, stem: str) -> Path | None:
    try:
        found = sorted(path for path in folder.glob(f"{stem}.*") if path.suffix.lower() in ENDINGS and path.is_file())
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); name a readable folder") from error
    if len(found) > 1:
        raise UserError(f"{folder} has both {found[0].name} and {found[1].name}; take one of them out")
    return found[0] if found else None


def _items(level: str, path: Path, content: bytes, target: str, collected: Collected) -> Iterable[_Item]:
    """The usable rows of a file; the others are counted, named by file and number."""
    for row in read_rows(content, str(path), path.suffix):
        _check_level(row, level)
        kept = row.index if level == "level_1" else f"{path.stem}-{row.index}"
        case_id = f"{target}-{kept}" if target else kept
        # Whose a row is says the folder, or the subject, or a neighbour's target.
        neighbor = level.startswith("neighbor")
        named = level == "level_1" or (not target and not neighbor)
        subject = row.text("subject", optional=not named)
        owner = "" if target else row.text("target", optional=True) if neighbor else subject
        row.text("type", optional=True)
        with collected.counting(case_id):
            query, answer = _said(row, "query"), _said(row, "answer")
            if named and not subject:
                raise Unusable("empty subject")
            yield _Item(case_id, level, owner, row, query, answer)


def _check_level(row: RawRow, level: str) -> None:
    given = row.get("level", str, int, optional=True)
    if given is not None and str(given).strip() != level[-1]:
        raise row.error("level", f"is {given!r} in a file of level {level[-1]}; put the row into the right file")


def _said(row: RawRow, field_name: str) -> str:
    text = row.filled(field_name)
    if not any(map(str.isalnum, text)):
        raise Unusable(f"no letter or digit in {field_name}")
    return text


def _add(items: list[_Item], collected: Collected) -> None:
    """Append the facts of one set of files with their probes."""
    own: defaultdict[str, list[LevelProbe]] = defaultdict(list)
    shared: list[LevelProbe] = []
    for item in items:
        (shared if item.shared else own[item.owner]).append(item.probe)
    probes = {owner: tuple(dict.fromkeys(chain(asked, shared))) for owner, asked in own.items()}
    edited = set()
    for item in items:
        if item.level == "level_1":
            with collected.counting(item.case_id):
                record = replace(_fact(item), levels=probes[item.owner])
                _refuse_repeated(record, collected)
                collected.records.append(record)
                edited.add(item.owner)
    for item in items:
        left_out = not edited if item.shared else item.owner not in edited
        if left_out and item.level != "level_1":
            collected.skipped[UNASKED].append(item.case_id)


def _fact(item: _Item) -> Record:
    """The fact of a blank. Raises Unusable where the text before the blank is no prompt about the subject."""
    subject, blanks = item.row.text("subject"), list(BLANK.finditer(item.query))
    if len(blanks) != 1:
        raise Unusable(f"{NO_FACT}{'more than one' if blanks else 'no'} blank (___) in query")
    before = item.query[: blanks[0].start()].rstrip(" ")
    if "{}" in before:
        raise Unusable(f"{NO_FACT}the query holds '{{}}'")
    places = occurrences(before, subject)
    if len(places) != 1:
        raise Unusable(f"{NO_FACT}the subject is {'more than once' if places else 'not'} in the text before the blank")
    begin, end = places[0]
    prompt, subject = before[:begin] + "{}" + before[end:], before[begin:end]
    return Record(case_id=item.case_id, prompt=prompt, subject=subject, target_true=item.answer)


def _refuse_repeated(record: Record, collected: Collected) -> None:
    if record.fact in collected.facts:
        raise Unusable(f"{NO_FACT}the same fact as an earlier one")
    collected.facts.add(record.fact)


def _halves(records: list[Record], collected: Collected) -> list[Record]:
    """The records by subject, in such an order that none has facts in both halves, which are drawn from (splits).

    Where no choice of subjects has half of the records, one subject straddles the middle, and that is noted.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.subject].append(record)
    half = len(records) // 2
    # Sum of sizes → the last subject of the first choice found for it; the rest is the choice of the sum without it.
    last: dict[int, str] = {0: ""}
    for subject, group in groups.items():
        if half in last:
            break
        for count in list(last):
            if count + len(group) <= half:
                last.setdefault(count + len(group), subject)
    first, left = set(), max(last)
    while left:
        first.add(last[left])
        left -= len(groups[last[left]])
    rest = [subject for subject in groups if subject not in first]
    if max(last) < half:
        collected.notes[STRADDLES] += [record.case_id for record in groups[rest[0]]]
    ordered = [*(subject for subject in groups if subject in first), *rest]
    return [record for subject in ordered for record in groups[subject]]
