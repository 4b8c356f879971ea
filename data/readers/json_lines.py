"""JSON lines: one object a row, as in the Amazon 2014 reviews."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.json

from data.log import Columns, DataError, Log
from data.readers.table import log_from_columns


def read_json_lines(content: bytes, where: str, columns: Columns) -> Log:
    """Read three fields of each object and skip the others: most of such a file is text."""
    first = content.lstrip().split(b"\n", 1)[0]
    try:
        found = json.loads(first)
        if not isinstance(found, dict):
            raise DataError(f"{where}: its first line is no JSON object")
        names = columns.choose(list(found), where)
        schema = pa.schema([(name, _arrow_type(found[name])) for name in names if name])
        table = pyarrow.json.read_json(
            io.BytesIO(content),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        )
    except (json.JSONDecodeError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"{where}: broken JSON lines ({str(error).splitlines()[0]})") from error
    return log_from_columns([table[name] if name else None for name in names], where)


def _arrow_type(value: object) -> pa.DataType:
    if isinstance(value, str):
        return pa.string()
    return pa.float64() if isinstance(value, float) else pa.int64()
