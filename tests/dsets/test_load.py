"""Names and paths: which file is read, and what is said about a broken one."""

import hashlib
import json
from pathlib import Path

import pytest

from dsets import DATASETS, load
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import SCHEMAS, written
from util.errors import UserError


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"[]", "is an empty data set"),
        (json.dumps([rows.zsre()]).encode()[:-20], "a fetched one that was cut off is to be deleted"),
        (b'{"prompt": 1}\n{"prompt": 2}', "must be named .jsonl"),
        (b'{"a": 1}', "it must be a JSON list"),
        (b"[1]", r"record 0 \(from 0\) is 1; it must be an object"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b'[{"a": 1}]', r"record 0 has the fields \['a'\], which is no known schema"),
        (b"<!DOCTYPE html>", "is not complete JSON"),
        (json.dumps([rows.fact(), rows.fact("a \ud83d b")]).encode(), r"record 1 \(from 0\) holds half a character"),
    ],
)
def test_broken_files(tmp_path, content, complaint):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as error:
        load(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["data", "anything"])
def test_a_list_inside_an_object(tmp_path, name):
    path = tmp_path / "wrapped.json"
    path.write_text(json.dumps({name: [rows.fact()]}), encoding="utf-8")
    assert len(load(str(path)).records) == 1


def test_a_list_beside_other_things(tmp_path):
    path = tmp_path / "wrapped.json"
    path.write_text(json.dumps({"version": "1", "sources": ["x"], "records": [rows.fact()]}), encoding="utf-8")
    assert len(load(str(path)).records) == 1


@pytest.mark.parametrize(
    "content", [rows.fact() | {"neighborhood": []}, {"train": [rows.fact()], "test": [rows.fact()]}]
)
def test_an_object_that_could_mean_several_lists_or_none_is_refused(tmp_path, content):
    path = tmp_path / "wrapped.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="whose lists are .*it must be a JSON list of records"):
        load(str(path))


@pytest.mark.parametrize("name", ["facts.JSONL", "facts.Jsonl"])
def test_capitals_in_the_ending_are_nothing(tmp_path, name):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(rows.fact(subject)) for subject in ("Ann", "Ben")), encoding="utf-8")
    assert [record.subject for record in load(str(path)).records] == ["Ann", "Ben"]


def test_a_row_of_two_schemas_is_refused(tmp_path):
    with pytest.raises(UserError, match="2 schemas at once.*subject, src, .*question, answer"):
        load(written(tmp_path, [rows.zsre() | {"question": "Who?", "answer": "I"}]))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_is_told_from_its_own_fields(tmp_path, schema):
    dataset = load(written(tmp_path, [SCHEMAS[schema]()]))
    assert dataset.records and dataset.skipped == {}


def test_broken_line_is_named(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps(rows.fact()) + "\n\n{", encoding="utf-8")
    with pytest.raises(UserError, match="line 3 is not complete JSON"):
        load(str(path))


def test_unknown_name_lists_what_exists(tmp_path):
    with pytest.raises(
        UserError, match="'mfc' is neither a known name .cf, known_1000, mcf, mquake, .*, zsre. nor a file"
    ):
        load("mfc")
    with pytest.raises(UserError, match="cannot be read"):
        load(str(tmp_path))


@pytest.mark.parametrize("name", ["x" * 300, "~no such user/x.json"])
def test_name_that_cannot_be_a_file(name):
    with pytest.raises(UserError, match="cannot be read|nor a file"):
        load(name)


def test_characters_beyond_the_basic_plane_are_whole(tmp_path):
    assert load(written(tmp_path, [rows.fact("a \U0001f600 b")])).records[0].subject == "a \U0001f600 b"


def test_named_file_of_another_schema(tmp_path):
    written(tmp_path, [rows.zsre()], "counterfact.json")
    with pytest.raises(UserError, match="expected are case_id, requested_rewrite"):
        load("cf", tmp_path)


@pytest.mark.parametrize("name", sorted(name for name, one in DATASETS.items() if getattr(one, "upstream", None)))
def test_every_named_data_set_reads_its_file(tmp_path, name):
    make = next(make for make in SCHEMAS.values() if DATASETS[name].recognises(make()))
    path = Path(written(tmp_path, [make()], DATASETS[name].upstream.file_name))
    dataset = load(name, tmp_path)
    assert dataset.name == name and dataset.path == path and dataset.records
    assert (dataset.size, dataset.digest) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())


def test_size_limit_keeps_the_first(tmp_path):
    path = written(tmp_path, [rows.counterfact(i) for i in range(5)])
    assert [record.case_id for record in load(path, size_limit=2).records] == [0, 1]
    with pytest.raises(UserError, match="dataset_size_limit is 0"):
        load(path, size_limit=0)


def test_path_from_the_working_directory(tmp_path, monkeypatch):
    written(tmp_path, [rows.fact()], "mine.json")
    monkeypatch.chdir(tmp_path)
    assert load("mine.json").name == "mine"


def test_the_embedded_world_has_data_sets_of_the_same_names(world, tmp_path):
    dataset = load("mcf", world=True)
    assert (dataset.name, dataset.metric, dataset.path) == ("mcf", "counterfact", None)
    assert [record.case_id for record in dataset.records] == [3]
    assert dataset.size > 0 and dataset.digest == load("mcf", world=True).digest
    assert load(written(tmp_path, [rows.zsre()]), world=True).metric == "zsre"


def test_the_embedded_world_has_no_cf():
    with pytest.raises(UserError, match="no data set 'cf'; it has mcf, zsre, mquake"):
        load("cf", world=True)
