"""Arrow columns into a `Log`: the checks that every format shares."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.log import DataError, Ids, Log, encode_integers, encode_strings


def log_from_columns(columns: Sequence[Any], where: str) -> Log:
    """A log of (user, item, time or None) columns; raises DataError naming file and value."""
    users, items, times = columns
    if not len(users):
        raise DataError(f"{where}: it has columns, but no rows")
    timestamps, untimed = (None, 0) if times is None else _timestamps(times, where)
    return Log(
        _ids(users, f"{where}, user column"),
        _ids(items, f"{where}, item column"),
        timestamps,
        untimed,
    )


def _ids(column: pa.ChunkedArray, where: str) -> Ids:
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_finite(column), column, None)
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise DataError(f"{where}: no id (null or NaN) in row {row + 1}; each row needs one")
    if pa.types.is_integer(kind):
        return encode_integers(_numpy(column), where)
    if pa.types.is_floating(kind):
        values = _numpy(column)
        wrong = (values != np.trunc(values)) | (np.abs(values) >= 2.0**63)
        if wrong.any():
            raise DataError(f"{where}: {values[wrong][0]} is no id; ids are whole numbers or text")
        return encode_integers(values.astype(np.int64), where)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        coded = column.combine_chunks()
        coded = coded if pa.types.is_dictionary(kind) else coded.dictionary_encode()
        try:
            labels = np.array(coded.dictionary.to_pylist())
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: an id that is no UTF-8 text ({error})") from error
        if labels.dtype.kind == "U":
            return encode_strings(_numpy(coded.indices), labels, where)
    raise DataError(f"{where}: ids of type {kind}; they must be whole numbers or text")


def _timestamps(column: pa.ChunkedArray, where: str) -> tuple[NDArray[Any] | None, int]:
    """Comparable times, or None and how many rows have none."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    if column.null_count:
        return None, column.null_count
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _dates(column, where)
    kind = column.type
    dated = pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_duration(kind)
    if dated:  # times of day alone are no order
        # In its own unit, as another may not hold it; order is all that counts.
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise _no_time(column, where)
    return _numpy(column), 0


def _dates(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Text in ISO 8601, all with a zone or all without one."""
    for kind in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        with suppress(pa.ArrowInvalid):
            return column.cast(kind)
    raise _no_time(column, where)


def _no_time(column: pa.ChunkedArray, where: str) -> DataError:
    return DataError(
        f"{where}, timestamp column: {column[0].as_py()!r} is neither number nor date;"
        " such as 1704067200 or 2024-01-01 00:00:00 is allowed"
    )


def _numpy(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    # Arrow's own to_numpy imports pandas where that is installed, which costs 0.3 s of start-up.
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: NDArray[Any] = np.from_dlpack(whole)
    return values
