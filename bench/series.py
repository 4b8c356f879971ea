"""Cells that differ only in how much they hold: longer histories need more memory, so where one
runs out of it the longer ones need not be tried.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from bench.cell import Cell
from measure.record import Record

T = TypeVar("T")


def series_of(cell: Cell) -> Cell:
    """What all cells of one series share: everything but the length and the batch size."""
    return dataclasses.replace(cell, seq_len=0, batch_size=0)


def source_of_pruning(cell: Cell, failed: Iterable[Record]) -> Record | None:
    """The record of a shorter cell of the series that ran out of memory with no more events in a
    batch than this one has: then this one can't fit. None where there is none.
    """
    for record in failed:
        other = Cell.from_dict(record.config)
        longer = cell.seq_len > other.seq_len
        events, others = cell.seq_len * cell.batch_size, other.seq_len * other.batch_size
        if longer and events >= others and series_of(other) == series_of(cell):
            return record
    return None


def pruned(cell: Cell, source: Record, machine: dict[str, Any], started: str) -> Record:
    """The record of a cell that was not tried."""
    length = source.config["seq_len"]
    return Record(
        cell.cell_id,
        cell.key,
        cell.to_dict(),
        "pruned_oom",
        reason=f"not tried, L={length} ran out of memory ({source.cell_id})",
        oom={"derived_from": source.cell_id, "limit_bytes": (source.oom or {}).get("limit_bytes")},
        machine=machine,
        started=started,
    )


def in_order(cells: Sequence[T], seed: int, *, cell_of: Any = lambda cell: cell) -> list[T]:
    """The cells shuffled by the seed, so that drift of the machine is not taken for an effect of L;
    within a series shorter ones come first, since they tell whether longer ones can fit.

    Args:
        cell_of: gives the cell of a thing in `cells`.
    """
    shuffled = list(cells)
    random.Random(seed).shuffle(shuffled)
    groups: dict[Cell, list[T]] = {}
    for thing in shuffled:
        groups.setdefault(series_of(cell_of(thing)), []).append(thing)
    turns = {
        key: iter(sorted(group, key=lambda thing: _size(cell_of(thing))))
        for key, group in groups.items()
    }
    return [next(turns[series_of(cell_of(thing))]) for thing in shuffled]


def _size(cell: Cell) -> tuple[int, int]:
    return cell.seq_len, cell.batch_size
