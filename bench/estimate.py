"""How long a cell will take: as it took before, else by rough figures of a two-core machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.cell import Cell
from bench.memory_pass import measures_memory

# Seconds to start a worker, import torch and read the data.
_START = 1.8
_SECOND_START = 0.7  # of one that loads beside the first
_EPOCH = 30.0
_FIT_EPOCH = 1.4
_BEST_EPOCH = 130  # of a fit, roughly: on ML-100K 25 to 334
_REQUEST = 0.002
_LOADS = 4
_PROBES, _PROBE = 16, 8.0


def seconds_of(cell: Cell, past: Mapping[str, float]) -> float:
    """Expected seconds of one cell, all its workers together."""
    if cell.key in past:
        return past[cell.key]
    start = _START + (_SECOND_START if measures_memory(cell) else 0.0)
    trains = cell.workload == "train_epoch"  # and warms up for two rounds at most
    rounds = (cell.rounds + 2) * (cell.round_seconds or _EPOCH) if trains else 0.0
    # A search takes several loads, each of which lasts longer than its requests take.
    loads = 1 if cell.latency_target is None else _LOADS
    fit = _FIT_EPOCH * min(cell.max_epochs, _BEST_EPOCH + cell.patience)
    if cell.workload == "capacity":
        return _PROBES * _PROBE
    served = max(_REQUEST * cell.requests * loads, 0.0 if trains else cell.round_seconds or 0.0)
    once = start + 1.1 * rounds + served + fit
    return once + (cell.processes - 1) * (_START + served)


def total_seconds(cells: Iterable[Cell], past: Mapping[str, float]) -> float:
    return sum(seconds_of(cell, past) for cell in cells)


def in_words(seconds: float) -> str:
    """ "40 s", "3.5 min" or "2.1 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
