"""How `load` is measured: from a file on disk to the first batch, in a process that has read
nothing yet.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import data.readers
from bench.cell import Cell
from bench.findings import Findings
from data.interactions import Interactions
from measure.clock import Stopwatch
from measure.memory import HostMemory
from measure.quantile import median_metric
from workloads.load import Load


def _import_readers() -> None:
    """Libraries that read files load late; what they cost is not the data's."""
    for module in pkgutil.iter_modules(data.readers.__path__):
        importlib.import_module(f"data.readers.{module.name}")


def _workload(cell: Cell, read: Callable[[], Interactions]) -> Load:
    return Load(
        read,
        objective=cell.objective,
        seq_len=cell.seq_len,
        batch_size=cell.batch_size,
        seed=cell.seed,
    )


def time_loading(cell: Cell, read: Callable[[], Interactions], findings: Findings) -> None:
    """Seconds to the store, and from it to the first batch; the file is in the page cache."""
    _import_readers()
    workload = _workload(cell, read)
    samples: dict[str, list[float]] = {"load_time": [], "first_batch_time": []}
    for _ in range(cell.rounds):
        for name, work in (
            ("load_time", workload.load),
            ("first_batch_time", workload.first_batch),
        ):
            with Stopwatch() as watch:
                work()
            assert watch.seconds is not None, "the watch has stopped"
            samples[name].append(watch.seconds)
    findings.data = workload.interactions.describe()
    findings.samples |= samples
    findings.metrics |= {
        name: median_metric(
            seconds,
            unit="s",
            better="lower",
            kind="time",
            method="median of rounds, imports done, file in the page cache",
        )
        for name, seconds in samples.items()
    }


def memory_of_loading(cell: Cell, read: Callable[[], Interactions], findings: Findings) -> None:
    """High-water marks of the first load and the first batch."""
    _import_readers()
    memory = HostMemory()
    workload = _workload(cell, read)
    with memory.phase("load"):
        workload.load()
    with memory.phase("batch"):
        workload.first_batch()
    findings.metrics |= memory.metrics()
