"""How `load` is measured: from a file on disk to the first batch, the log parsed each time; and
beside it how long the store takes to open that is kept of the log.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import partial

import data.readers
from bench.cell import Cell
from bench.findings import Findings
from data.interactions import Interactions
from measure.clock import Stopwatch
from measure.memory import HostMemory
from measure.quantile import median_metric
from measure.record import Metric, not_measured
from workloads.load import Load

Read = Callable[..., Interactions]


def _import_readers() -> None:
    """Libraries that read files load late; what they cost is not the data's."""
    for module in pkgutil.iter_modules(data.readers.__path__):
        importlib.import_module(f"data.readers.{module.name}")


def _workload(cell: Cell, read: Read) -> Load:
    return Load(
        partial(read, cached=False),
        read,
        objective=cell.objective,
        seq_len=cell.seq_len,
        batch_size=cell.batch_size,
        seed=cell.seed,
    )


def time_loading(cell: Cell, read: Read, findings: Findings) -> None:
    """Seconds to the store, by both ways, and from it to the first batch."""
    with findings.phase("imports"):
        _import_readers()
    workload = _workload(cell, read)
    with findings.phase("warm_up"):
        kept = _is_kept(workload)
    parts = [("load_time", workload.load), ("first_batch_time", workload.first_batch)]
    if kept:
        parts.append(("open_time", workload.open))
    samples: dict[str, list[float]] = {name: [] for name, _ in parts}
    with findings.watched(cell.device):
        for _ in range(cell.rounds):
            findings.turn()
            for name, work in parts:
                with Stopwatch() as watch:
                    work()
                assert watch.seconds is not None, "the watch has stopped"
                samples[name].append(watch.seconds)
    findings.data = workload.load().describe()
    findings.samples |= samples
    findings.metrics |= {name: _median(name, seconds) for name, seconds in samples.items()}
    if not kept:
        findings.metrics["open_time"] = not_measured(
            f"the store is not kept: {_why(findings.data)}", unit="s", better="lower", kind="time"
        )


def memory_of_loading(cell: Cell, read: Read, findings: Findings) -> None:
    """High-water marks of the first load, the log parsed, and the first batch."""
    with findings.phase("imports"):
        _import_readers()
    memory = HostMemory()
    workload = _workload(cell, read)
    with findings.phase("measured"):
        with memory.phase("load"):
            workload.load()
        with memory.phase("batch"):
            workload.first_batch()
    findings.metrics |= memory.metrics()


def _is_kept(workload: Load) -> bool:
    workload.open()  # the first one may have to make it
    return workload.open().store == "cached"


def _why(described: Mapping[str, object]) -> str:
    if described["store"] == "generated":
        return "generated data has no log"
    return "the cache is switched off or cannot be written"


def _median(name: str, seconds: list[float]) -> Metric:
    opened = "store mapped from the cache" if name == "open_time" else "imports done"
    method = f"median of rounds, {opened}, file in the page cache"
    return median_metric(seconds, unit="s", better="lower", kind="time", method=method)
