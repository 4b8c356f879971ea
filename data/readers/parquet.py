"""Parquet files, read by column: only the columns wanted are decoded."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.log import Columns, DataError, Log
from data.readers.table import log_from_columns
from data.room import require_room


def read_parquet(path: Path, where: str, columns: Columns) -> Log:
    """Read the wanted columns; raises DataError for a broken file or missing columns."""
    try:
        with pq.ParquetFile(path) as file:
            names = columns.choose(file.schema_arrow.names, where)
            # A row takes at least its codes: 4 bytes for the user, 4 for the item, 8 for the time.
            require_room(16 * max(0, file.metadata.num_rows), where)
            table = file.read(columns=[name for name in names if name])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: broken Parquet file ({str(error).splitlines()[0]})") from error
    return log_from_columns([table[name] if name else None for name in names], where)
