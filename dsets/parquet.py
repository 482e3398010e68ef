"""Parquet files → the rows that a JSON file of the same content would hold."""

import io
import json
from typing import Any

import pyarrow
import pyarrow.parquet

from util.errors import UserError


def read_table(content: bytes, source: str) -> list[dict]:
    """The table's rows. A column "a.b" is field "b" of object "a"; a null is a field that the row has not.

    Raises UserError for what is no parquet file.
    """
    try:
        rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{source} is no complete parquet file ({reason}); fetch it again") from error
    return [json.loads(json.dumps(_nested(_without_nulls(row)), default=str)) for row in rows]


def _without_nulls(value: Any) -> Any:
    """The value; objects inside it have no field that is null (a table has every field in every row)."""
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return value


def _nested(row: dict) -> dict:
    made: dict = {}
    for name, value in row.items():
        place, (*parents, last) = made, name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                return row  # "a" is a column beside "a.b": the dots are no more than part of a name
        place[last] = value
    return made
