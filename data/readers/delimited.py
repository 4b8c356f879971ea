"""Text with separators: CSV, TSV, RecBole `.inter`, MovieLens `u.data` and `ratings.dat`."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv

from data.log import Columns, DataError, Log
from data.readers.table import log_from_columns

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".data": "\t", ".dat": "::"}
_HEADERLESS = {4: ["user", "item", "rating", "timestamp"], 2: ["user", "item"]}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NULLS = ["", "NaN", "nan", "NULL", "null"]


def read_delimited(content: bytes, extension: str, where: str, columns: Columns) -> Log:
    """Read text with a header line, or with the four columns of MovieLens and Amazon and none.

    There is no header where the last field of the first line is a number. RecBole's typed names
    (`user_id:token`) are known by the part before the colon.
    """
    if content.startswith(_UTF_16):
        raise DataError(f"{where}: its text is UTF-16; save it as UTF-8")
    content = content.removeprefix(b"\xef\xbb\xbf")
    first = content.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    separator = _SEPARATORS[extension]
    if separator == "::":
        # Arrow separates by one character only; a tab does not occur in MovieLens' rating lines.
        content, first, separator = content.replace(b"::", b"\t"), first.replace("::", "\t"), "\t"
    elif separator not in first:
        separator = next((mark for mark in "\t,;|" if mark in first), separator)
    fields = [field.strip('" ') for field in first.split(separator)]
    headerless = _is_number(fields[-1])
    if headerless and len(fields) not in _HEADERLESS:
        raise DataError(
            f"{where}: no header line, and {len(fields)} columns; without one it must be "
            "user, item, rating, timestamp or user, item"
        )
    raw = _HEADERLESS[len(fields)] if headerless else fields
    plain = [name.split(":", 1)[0] for name in raw] if extension == ".inter" else raw
    names = columns.choose(plain, where)
    wanted = [raw[plain.index(name)] for name in names if name]
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(content),
            read_options=pyarrow.csv.ReadOptions(column_names=raw, skip_rows=not headerless),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=separator, newlines_in_values=b'"' in content
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted[:2], pa.string()),
                null_values=_NULLS,
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        raise DataError(f"{where}: broken text table ({str(error).splitlines()[0]})") from error
    read = [table[name] for name in wanted]
    return log_from_columns(read if names[2] else [*read, None], where)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
