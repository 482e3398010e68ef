"""Reference texts of CounterFact's generation tests: what Wikipedia says of subjects that have an object (ROME).

The file lies beside the data sets on their host. It is read where the user has put it into the data folder, and never
fetched: it serves one metric.
"""

import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from dsets import named_files
from dsets.raw_rows import read_rows
from dsets.record import Dataset, Record

SNIPPETS = "attribute_snippets.json"

Snippets = dict[tuple[str, str], list[tuple[str, str]]]
"""(relation id, object id) → (subject, text) of each snippet."""


def with_references(dataset: Dataset, data_dir: Path) -> Dataset:
    """The data set with the snippets of each record's relation and true object, if the file is there.

    Snippets about the record's own subject are left out: it is to be forgotten. `references` is the file's sha256,
    because the reference score hangs on it. Raises UserError for a file of another form.
    """
    path = data_dir / SNIPPETS
    if not path.is_file() or not any(record.object_id for record in dataset.records):
        return dataset
    content = named_files.read(path)
    snippets = _parse(content, str(path))
    records = [replace(record, references=_of_others(record, snippets)) for record in dataset.records]
    without = [record.case_id for record in records if not record.references]
    notes = dataset.notes | ({f"no reference text in {SNIPPETS}": without} if without else {})
    return replace(dataset, records=records, notes=notes, references=hashlib.sha256(content).hexdigest())


def _parse(content: bytes, source: str) -> Snippets:
    found: Snippets = defaultdict(list)
    for row in read_rows(content, source):
        key = row.text("relation_id"), row.text("target_id")
        found[key] += [(sample.text("name"), sample.text("text")) for sample in row.rows("samples")]
    return found


def _of_others(record: Record, snippets: Snippets) -> tuple[str, ...]:
    key = record.relation_id, record.object_id
    return tuple(text for name, text in snippets.get(key, ()) if text and name != record.subject)
