"""Cells as they finish: on a terminal a compact table that grows by a line a cell, elsewhere plain
lines that name each cell whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest

from bench.cell import Cell
from bench.estimate import in_words
from bench.headline import headline, main_numbers
from bench.row import Row, rows_of
from data.log import in_one_line
from measure.record import STATUSES, Record

_TITLES = Row("model", "workload", "L", "B", "")
_STATUS = max(map(len, STATUSES))
_FAILED = ("error", "incorrect", "timeout")
_TOOK = 8
_LEAST = 24  # characters of a reason, however narrow the terminal is


class CellTable:
    """Lines for the cells of one start, in the order in which they finish."""

    def __init__(self, cells: Sequence[Cell], reporter: pytest.TerminalReporter) -> None:
        self._rows = rows_of(cells)
        self._reporter = reporter
        self._done = 0
        shown = [*self._rows.values(), _TITLES]
        self._widths = tuple(
            max(len(getattr(row, name)) for row in shown)
            for name in ("model", "workload", "seq_len", "batch", "way")
        )

    def add(self, record: Record, *, kept: bool) -> None:
        """Print the cell's line; `kept` where an earlier start measured it."""
        self._reporter.ensure_newline()
        if not self._reporter.isatty:
            flags = f" ({', '.join(record.flags)})" if record.flags else ""
            self._reporter.write_line(f"  {record.cell_id}: {headline(record)}{flags}")
            return
        if not self._done:
            self._reporter.write_line(self._header(), bold=True)
        self._done += 1
        self._print(record, "kept" if kept else in_words(record.wall_s))

    def _print(self, record: Record, took: str) -> None:
        write = self._reporter.write
        lead = f"{self._count()} "
        what = f"  {self._columns(self._rows[record.cell_id])}  {took:>{_TOOK}}  "
        flags = f"  {', '.join(record.flags)}" if record.flags else ""
        used = len(lead) + _STATUS + len(what) + len(flags)
        write(lead)
        write(f"{record.status:<{_STATUS}}", **_colour(record))
        write(what + _result(record, max(shutil.get_terminal_size().columns - used, _LEAST)))
        write(flags, yellow=True)
        write("\n")

    def _header(self) -> str:
        lead = " " * (len(self._count()) + 1)
        return f"{lead}{'status':<{_STATUS}}  {self._columns(_TITLES)}  {'took':>{_TOOK}}  result"

    def _count(self) -> str:
        total = str(len(self._rows))
        return f"{self._done:>{len(total)}}/{total}"

    def _columns(self, row: Row) -> str:
        model, workload, seq_len, batch, way = self._widths
        text = f"{row.model:<{model}}  {row.workload:<{workload}}"
        text += f"  {row.seq_len:>{seq_len}}  {row.batch:>{batch}}"
        return text + (f"  {row.way:<{way}}" if way else "")


def _result(record: Record, width: int) -> str:
    """Numbers are never cut, since half a number is a wrong number; a reason may be."""
    if numbers := main_numbers(record):
        return ", ".join(f"{name} {text}" for name, text in numbers)
    reason = in_one_line(record.reason or "")
    return reason if len(reason) <= width else f"{reason[: width - 1]}…"


def _colour(record: Record) -> dict[str, bool]:
    if record.status == "ok":
        return {"green": True}
    return {"red": True} if record.status in _FAILED else {"yellow": True}
