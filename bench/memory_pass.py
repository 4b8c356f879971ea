"""The memory pass: a workload's parts one after the other, each part's high-water mark apart.

It runs in a process of its own with the allocator's defaults, because instruments and cleared
caches disturb times, and because a kept allocator would hide what is given back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from typing import Any

import workloads
from bench.cell import Cell
from bench.findings import Findings, fact
from measure.memory import HostMemory, make_memory, trim
from measure.ranking import ranks
from measure.record import Metric, not_measured
from measure.tensors import TensorBytes
from workloads.rank_all import RankAll
from workloads.setting import Setting

# The workloads whose memory is measured, in a second process each; `load` in bench/loading.py.
MEASURED = ("train_epoch", "recommend", "serve_step", "rank_all", "load")

_SMALL = 8
_STEP = 3  # the phases that a step of training ends with: forward, backward, optimizer


def measures_memory(cell: Cell) -> bool:
    """Whether the cell has a memory pass; how requests come changes nothing of one request's."""
    return cell.workload in MEASURED and cell.scenario == "single_stream"


def measure_memory(cell: Cell, setting: Setting, findings: Findings) -> None:
    """Peaks by phase over a baseline of imports, data and a tiny run that loads every library.

    On a CUDA device the phases are the allocator's, and the host's stand beside them as `host_...`.
    """
    # What is there now stays; the collections between phases then have little to look at.
    gc.freeze()
    with findings.phase("warm_up"):
        _warm_up(cell, dataclasses.replace(setting, seq_len=_SMALL, batch_size=2))
    workload = _workload(cell, setting)
    trim()
    gc.freeze()
    memory = make_memory(cell.device)
    host = None if isinstance(memory, HostMemory) else HostMemory()
    with findings.phase("measured"):
        for name, work in workload.phases():
            with memory.phase(name), host.phase(name) if host else contextlib.nullcontext():
                work()
    findings.metrics |= memory.metrics()
    if cell.workload == "train_epoch":
        del workload
        with findings.phase("measured"):
            findings.metrics |= _count_tensors(cell, setting)
    if host:
        findings.metrics |= {f"host_{name}": metric for name, metric in host.metrics().items()}


def _count_tensors(cell: Cell, setting: Setting) -> dict[str, Metric]:
    """The same phases once more under a counter of tensors' bytes: equal on every machine."""
    if cell.compile != "none":
        reason = "what a compiled graph makes inside is not seen"
        return {
            "tensor_peak_bytes": not_measured(
                reason, unit="B", better="lower", kind="deterministic"
            )
        }
    catalogue = setting.interactions.num_items + 1  # and one more with a mask token
    counter = TensorBytes(lambda t: t.ndim > 1 and t.shape[-1] in (catalogue, catalogue + 1))
    workload = _workload(cell, setting)
    phases = list(workload.phases())
    for name, work in phases:
        with counter.phase(name):
            work()
            if name == "batch":  # it comes from NumPy
                for tensor in vars(workload.batch).values():
                    counter.count(tensor)
    growth = -counter.alive
    for name, work in phases[-_STEP:]:
        with counter.phase(name):
            work()
    growth += counter.alive
    method = "tensors through torch's dispatcher, counted; without kernels' own scratch"
    parts = {f"tensor_{name}_bytes": size for name, size in counter.at_peak.items()}
    sizes = parts | {
        "tensor_peak_bytes": counter.peak,
        "saved_bytes": counter.saved,
        "logits_bytes": counter.watched_peak,
        "tensor_growth_bytes": growth,
    }
    return {name: fact(size, "B", method) for name, size in sizes.items()}


def _workload(cell: Cell, setting: Setting) -> Any:
    if cell.workload == "rank_all":
        return RankAll(setting, ranks)
    return workloads.get(cell.workload)(setting)


def _warm_up(cell: Cell, small: Setting) -> None:
    """Run all phases once; in a function of its own, so that nothing of it outlives the call."""
    for _, work in _workload(cell, small).phases():
        work()
