"""Data sets by name or path → records. `load` is the way in."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

from dsets import named_files
from dsets.by_relation import Collection, ParaRel, Relations
from dsets.download import fetch
from dsets.format import Format
from dsets.raw_rows import Collected, RawRow, read_rows
from dsets.record import Dataset, LevelProbe, MultiHop, Probe, Record
from dsets.schemas import rwku
from dsets.schemas.counterfact import CounterFact, MultiCounterFact, RealFacts
from dsets.schemas.easyedit import EasyEdit, KnowEdit, KnowEditZsRE
from dsets.schemas.known_1000 import Known1000
from dsets.schemas.mquake import MQuAKE
from dsets.schemas.own_facts import Facts
from dsets.schemas.question_answer import QuestionAnswer
from dsets.schemas.tracing import CounterFactTracing
from dsets.schemas.zsre import ZsRE
from dsets.snippets import with_references
from util import paths
from util.errors import UserError

__all__ = ["DATASETS", "WORLD_DATASETS", "Dataset", "LevelProbe", "MultiHop", "Probe", "Record", "load", "usual"]

DATASETS: dict[str, type[Format] | type[Collection]] = {
    "mcf": MultiCounterFact,
    "cf": CounterFact,
    "zsre": ZsRE,
    "mquake": MQuAKE,
    "real": RealFacts,
    "known_1000": Known1000,
    "pararel": ParaRel,
    "relations": Relations,
}
"""What `--ds_name` may name. A new data set: one class and one line here."""

FILES: tuple[type[Format], ...] = (EasyEdit, KnowEdit, KnowEditZsRE, CounterFactTracing, QuestionAnswer)
"""What else a file that is named by its path may hold; where none of these is told, a user's own facts."""

WORLD_DATASETS = ("mcf", "zsre", "mquake")
"""Of these the embedded world has its own, in the same schemas."""

USUAL = "mcf of the embedded world, else real"
"""What `usual` names, for the help of the flags that fall back on it."""

log = logging.getLogger(__name__)


def usual(*, world: bool) -> str:
    """The data set that is taken where none is named, which is there without a download."""
    return "mcf" if world else "real"


def load(
    ds_name: str, data_dir: str | Path | None = None, *, world: bool = False, size_limit: int | None = None
) -> Dataset:
    """The data set of a name in DATASETS (fetched into `data_dir` when it is not there) or of a path.

    The schema of a file (JSON, JSON lines or parquet) is told from its first record: one of DATASETS, FILES, RWKU's
    blanks, or plain facts; a folder holds RWKU's level files. `world`: the embedded model is in use, and the names mean
    the embedded world's data sets.
    `size_limit`: keep the first so many records.
    What is left out or remarkable is logged, with counts and case ids. Raises UserError naming file, record and field.
    """
    if size_limit is not None and size_limit < 1:
        raise UserError(f"dataset_size_limit is {size_limit}; give at least 1, or leave it out for all records")
    if ds_name in DATASETS:
        dataset = _from_world(ds_name) if world else _from_upstream(ds_name, data_dir)
    else:
        path = _existing_file(ds_name)
        dataset = _from_folder(path) if path.is_dir() else _from_file(path)
    dataset = with_references(dataset, paths.data_dir(data_dir))
    _report(dataset)
    return replace(dataset, records=dataset.records[:size_limit])


def _from_world(ds_name: str) -> Dataset:
    if ds_name not in WORLD_DATASETS:
        raise UserError(
            f"the embedded world has no data set {ds_name!r}; it has {', '.join(WORLD_DATASETS)}; a path works too"
        )
    from dsets import world  # made on demand: real data needs no generator

    format_class = DATASETS[ds_name]
    assert issubclass(format_class, Format), "the embedded world has no collections"
    content = json.dumps(world.records(ds_name), ensure_ascii=False).encode()
    return _from_content(ds_name, content, f"the embedded world's {ds_name}", None, format_class)


def _from_upstream(ds_name: str, data_dir: str | Path | None) -> Dataset:
    format_class = DATASETS[ds_name]
    if issubclass(format_class, Collection):
        return _from_collection(ds_name, format_class, paths.data_dir(data_dir))
    path = format_class.shipped or _fetched(ds_name, format_class, paths.data_dir(data_dir))
    return _from_content(ds_name, named_files.read(path), str(path), path, format_class)


def _fetched(ds_name: str, format_class: type[Format], data_dir: Path) -> Path:
    upstream = format_class.upstream
    assert upstream is not None, f"{ds_name} has no published file"

    def check(content: bytes) -> int:
        """The number of records of a freshly fetched file. Raises UserError if it is not of the format."""
        rows = read_rows(content, upstream.file_name)
        _demand(rows[0], format_class)
        return len(rows)

    return fetch(upstream, data_dir, check)


def _from_collection(ds_name: str, collection: type[Collection], data_dir: Path) -> Dataset:
    found = collection.read(data_dir)
    return Dataset(
        name=ds_name,
        metric=collection.metric,
        records=found.collected.records,
        path=data_dir / collection.folder,
        size=found.size,
        digest=found.digest,
        skipped=dict(found.collected.skipped),
        notes=dict(found.collected.notes),
    )


def _existing_file(name: str) -> Path:
    path = named_files.find(name)
    if path is None:
        raise UserError(
            f"data set {name!r} is neither a known name ({', '.join(sorted(DATASETS))}) nor a file or folder; "
            "name one of them, an existing JSON, JSONL or parquet file, or a folder of RWKU's files"
        )
    return path


def _from_file(path: Path) -> Dataset:
    content = named_files.read(path)
    rows = read_rows(content, str(path), path.suffix)
    if rwku.recognises(rows[0].value):
        return _of_people(path.stem, path, rwku.read_file(path, content))
    return _dataset(path.stem, content, path, rows, _recognise(rows[0]))


def _from_content(name: str, content: bytes, source: str, path: Path | None, format_class: type[Format]) -> Dataset:
    rows = read_rows(content, source)
    _demand(rows[0], format_class)
    return _dataset(name, content, path, rows, format_class)


def _dataset(name: str, content: bytes, path: Path | None, rows: list[RawRow], format_class: type[Format]) -> Dataset:
    collected = format_class.collect(rows)
    _demand_records(collected, rows[0].source)
    return Dataset(
        name=name,
        metric=format_class.metric,
        records=collected.records,
        path=path,
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
        skipped=dict(collected.skipped),
        notes=dict(collected.notes),
    )


def _from_folder(path: Path) -> Dataset:
    return _of_people(path.resolve().name, path, rwku.read_folder(path))


def _of_people(name: str, path: Path, found: rwku.Found) -> Dataset:
    _demand_records(found.collected, str(path))
    return Dataset(
        name=name,
        metric="counterfact",
        records=found.collected.records,
        path=path,
        size=found.size,
        digest=found.digest,
        skipped=dict(found.collected.skipped),
        notes=dict(found.collected.notes),
    )


def _demand_records(collected: Collected, source: str) -> None:
    if not collected.records:
        reasons = "; ".join(f"{reason} ({len(ids)})" for reason, ids in collected.skipped.items())
        raise UserError(f"{source} has no usable record: {reasons}; mend the file")


def _recognise(row: RawRow) -> type[Format]:
    """The one format of a row; Facts only where it has no other. The first of those that share a description."""
    known: dict[str, type[Format]] = {}
    named = [one for one in DATASETS.values() if issubclass(one, Format)]
    every: list[type[Format]] = [*named, *FILES, Facts]
    for format_class in every:
        known.setdefault(format_class.description, format_class)
    fitting = [one for one in known.values() if one is not Facts and one.recognises(row.value)]
    if not fitting and Facts.recognises(row.value):
        return Facts
    if len(fitting) == 1:
        return fitting[0]
    fault = "no known schema" if not fitting else f"{len(fitting)} schemas at once; leave out the others' fields"
    listed = "; ".join(one.description for one in fitting) or "; ".join([*known, rwku.DESCRIPTION])
    raise UserError(f"{row.source}: record 0 has the fields {sorted(row.value)}, which is {fault}; known are: {listed}")


def _demand(row: RawRow, format_class: type[Format]) -> None:
    if not format_class.recognises(row.value):
        raise UserError(
            f"{row.source}: record 0 has the fields {sorted(row.value)}; expected are {format_class.description}; "
            "put the right file there, or delete it to have it fetched again"
        )


def _report(dataset: Dataset) -> None:
    source = dataset.path or dataset.name
    for reason, ids in dataset.skipped.items():
        log.warning("%s: %d records left out, %s: %s", source, len(ids), reason, _some(ids))
    for remark, ids in dataset.notes.items():
        log.info("%s: %d records, %s: %s", source, len(ids), remark, _some(ids))


def _some(ids: list[int | str]) -> str:
    listed = ", ".join(str(case_id) for case_id in ids[:10])
    return f"case ids {listed}" + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")
