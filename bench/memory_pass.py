"""The memory pass: a workload's parts one after the other, each part's high-water mark apart.

It runs in a process of its own with the allocator's defaults, because instruments and cleared
caches disturb times, and because a kept allocator would hide what is given back.
"""

from __future__ import annotations

import dataclasses
import gc

import workloads
from bench.cell import Cell
from bench.findings import Findings
from measure.memory import make_memory, trim
from workloads.setting import Setting

# The workloads whose memory is measured, in a second process each; `load` in bench/loading.py.
MEASURED = ("train_epoch", "recommend", "load")

_SMALL = 8


def measure_memory(cell: Cell, setting: Setting, findings: Findings) -> None:
    """Peaks by phase over a baseline of imports, data and a tiny run that loads every library."""
    workload_class = workloads.get(cell.workload)
    small = dataclasses.replace(setting, seq_len=_SMALL, batch_size=2)
    for _, work in workload_class(small).phases():
        work()
    workload = workload_class(setting)
    trim()
    # What is there now stays; the collections between phases then have little to look at.
    gc.freeze()
    memory = make_memory(cell.device)
    for name, work in workload.phases():
        with memory.phase(name):
            work()
    findings.metrics |= memory.metrics()
