"""All cells of a run as its viewers see them: written by the run, followed by any thread."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from threading import Condition
from typing import Any

from bench.cell import Cell
from bench.headline import main_numbers
from bench.row import Row, rows_of
from measure.clock import now
from measure.record import Record

_FAREWELL = 0.5  # seconds for viewers to be told of the end


class Board:
    """The state of a run, and what changed in it.

    Args:
        cells: those of this start, in their order.
        facts: what the run is, shown as it is: title -> text.
    """

    def __init__(self, cells: Sequence[Cell], facts: dict[str, str]) -> None:
        self._facts = facts
        self._names = rows_of(cells)
        self._rows = {cell_id: _waiting(cell_id, row) for cell_id, row in self._names.items()}
        self._changed: list[dict[str, Any]] = []  # every row that changed, in turn
        self._running: tuple[str, float] | None = None  # the cell, and when it began
        self._left: float | None = None  # seconds from when the running cell began, or from now
        self._done = self._followers = self._came = 0  # followers: now, and ever
        self._ended: str | None = None
        self._news = Condition()

    def begin(self, cell: Cell, *, left: float) -> None:
        """The cell is being measured; `left` are the seconds that it and the rest will take."""
        with self._news:
            self._running, self._left = (cell.cell_id, now()), left
            self._put(_waiting(cell.cell_id, self._names[cell.cell_id]) | {"status": "running"})

    def land(self, record: Record, *, kept: bool, left: float) -> None:
        """The cell has its record; `kept` where an earlier start measured it."""
        with self._news:
            self._running, self._left = None, left
            self._done += 1
            self._put(_landed(record, self._names[record.cell_id], kept=kept))

    def end(self, text: str) -> None:
        """The run is over, and `text` says where its results are. Waits a moment for followers."""
        with self._news:
            if self._ended is not None:
                return
            self._ended, self._running, self._left = text, None, None
            self._news.notify_all()
            self._news.wait_for(lambda: self._followers == 0, _FAREWELL)

    def whole(self) -> str:
        """Everything, as one line of JSON."""
        with self._news:
            return self._whole()

    def follow(self) -> Generator[str]:
        """Everything, then each change until the run ends: lines of JSON. An empty line where
        another follower came: a viewer who went away is found out by writing to it alone.
        """
        with self._news:
            self._followers += 1
            self._came += 1
            self._news.notify_all()
            seen, came, ended, text = len(self._changed), self._came, self._ended, self._whole()
        try:
            yield text
            while ended is None:
                with self._news:
                    while (len(self._changed), self._came, self._ended) == (seen, came, None):
                        self._news.wait()
                    rows, ended = self._changed[seen:], self._ended
                    text = self._line(rows) if rows or ended is not None else ""
                    seen, came = len(self._changed), self._came
                yield text
        finally:
            with self._news:
                self._followers -= 1
                self._news.notify_all()

    def _put(self, row: dict[str, Any]) -> None:
        self._rows[row["cell"]] = row
        self._changed.append(row)
        self._news.notify_all()

    def _whole(self) -> str:
        return self._line(list(self._rows.values()), facts=self._facts)

    def _line(self, rows: list[dict[str, Any]], **more: Any) -> str:
        running = None
        if self._running is not None:
            cell_id, begun = self._running
            running = {"name": str(self._names[cell_id]), "seconds": round(now() - begun, 1)}
        content = {
            "cells": rows,
            "done": self._done,
            "total": len(self._rows),
            "running": running,
            "left_seconds": self._left,
            "ended": self._ended,
        }
        return json.dumps(content | more, allow_nan=False)


def _waiting(cell_id: str, row: Row) -> dict[str, Any]:
    return {
        "cell": cell_id,
        "model": row.model,
        "workload": row.workload,
        "seq_len": row.seq_len,
        "batch": row.batch,
        "way": row.way,
        "status": "waiting",
    }


def _landed(record: Record, row: Row, *, kept: bool) -> dict[str, Any]:
    return _waiting(record.cell_id, row) | {
        "status": record.status,
        "numbers": main_numbers(record),
        "reason": record.reason,
        "flags": record.flags,
        "seconds": record.wall_s,
        "kept": kept,
    }
