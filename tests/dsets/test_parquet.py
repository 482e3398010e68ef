"""Tables: the same records as the JSON file of the same rows."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from dsets import load
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import SCHEMAS, changed, written
from util.errors import UserError


def table(folder: Path, listed: list[dict], name: str = "rows.parquet") -> str:
    """The path of a parquet file that holds the rows."""
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(listed), folder / name)
    return str(folder / name)


@pytest.mark.parametrize("schema", [name for name in SCHEMAS if name != "mquake"])
def test_a_table_gives_what_json_gives(tmp_path, schema):
    listed = [SCHEMAS[schema]()]
    from_json, from_table = load(written(tmp_path, listed)), load(table(tmp_path, listed))
    assert from_table.records == from_json.records and from_table.metric == from_json.metric
    assert (from_table.notes, from_table.skipped) == (from_json.notes, from_json.skipped)
    assert from_table.size == Path(tmp_path, "rows.parquet").stat().st_size


def test_dotted_columns_are_fields_of_objects(tmp_path):
    row = rows.counterfact()
    rewrite = row.pop("requested_rewrite")
    for name in ("target_new", "target_true"):
        rewrite |= {f"{name}.{key}": value for key, value in rewrite.pop(name).items()}
    flat = row | {f"requested_rewrite.{name}": value for name, value in rewrite.items()}
    assert load(table(tmp_path, [flat])).records == load(written(tmp_path, [rows.counterfact()])).records


def test_null_is_a_field_that_the_row_has_not(tmp_path):
    path = table(tmp_path, [rows.zsre(), changed(rows.zsre("Bo"), "alt", drop=True)])
    assert [record.target_new for record in load(path).records] == ["unmanned aircraft", None]
    path = table(tmp_path, [rows.zsre(), changed(rows.zsre("Bo"), "src", drop=True)])
    with pytest.raises(UserError, match=r"record 1 \(from 0\): field 'src' is missing"):
        load(path)


def test_capitals_in_the_ending_are_nothing(tmp_path):
    assert load(table(tmp_path, [rows.fact()], "x.Parquet")).records


@pytest.mark.parametrize("content", [b"", b"PAR1", json.dumps([rows.fact()]).encode()])
def test_what_is_no_table(tmp_path, content):
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no complete parquet file") as error:
        load(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_a_table_has_beyond_json_is_text(tmp_path):
    listed = [rows.fact() | {"blob": b"\x00\x01"}]
    assert load(table(tmp_path, listed)).notes == {"unknown field 'blob', ignored": [0]}
