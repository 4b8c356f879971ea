"""results/peers/: one file a data set and length, one for the scan; rows replaced one by one.

A row keeps the commit, the day and the machine's fingerprint that it was measured on, so that a run
of some rows leaves the others as they were; rows of another machine are dropped.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.files import write_whole

SCHEMA = "seqrec-bench/peers/1"
# What makes a row the same as an older one; a scan's row has no model, a model's no library.
_KEYS = ("model", "peer", "library", "seq_len", "threads", "peer_threads")


class LedgerError(ValueError):
    """A results file that can't be read; the message names it."""


def keep(path: Path, head: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put the rows into the file and return its content.

    head: machine, commit and settings of this run; "machine" holds the fingerprint.
    """
    own = head["machine"]["fingerprint"]
    stamp = {
        "commit": head["commit"],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "fingerprint": own,
        "rounds": head["rounds"],
        "round_seconds": head["seconds"],
    }
    fresh = {_key(row): row | stamp for row in rows}
    older = read(path)["rows"] if path.exists() else []
    kept = {_key(row): row for row in older if row["fingerprint"] == own}
    content = head | {"schema": SCHEMA, "rows": list((kept | fresh).values())}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False)
    write_whole(path, text + "\n")
    return content


def read(path: Path) -> dict[str, Any]:
    """The content of a results file; LedgerError where it is not one."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise LedgerError(f"{path}: not a results file ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise LedgerError(f"{path}: not of schema {SCHEMA}")
    rows = content.get("rows")
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        raise LedgerError(f"{path}: rows are not what they must be")
    return content


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("fingerprint"), str)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in _KEYS)
