"""Run the tasks of one CPU kernel on torch's own OpenMP threads.

A second pool of threads beside torch's halves the speed of both: between its parallel regions
torch's threads spin for a while on the cores that the other pool needs, and the other way round
(measured on two cores: torch operations with a scan between took 1.2 to 1.4 times as long). So the
kernels enter torch's libgomp, by the same GOMP_parallel that torch's compiled code calls. Where
torch is built on another runtime (macOS, Windows), Python threads do the same work.

A kernel is compiled code `void(int64 *row, int64 scratch)`. Tasks are cut by shape alone and each
writes a place of its own, so the number of threads and the order in which they take tasks never
change a bit of the result.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch
from numba import types

from models.ops.simd import call_task, fetch_add, integers, native


@native(types.int64)
def _drain(job_at: int) -> None:
    """Take tasks until none is left. A job: see `run_tasks`; its last two numbers are counters."""
    job = integers(job_at)
    scratch = job[4] + fetch_add(job, 7) * job[5]
    task = fetch_add(job, 6)
    while task < job[1]:
        call_task(job[0], job[2] + task * job[3], scratch)
        task = fetch_add(job, 6)


def run_tasks(kernel: int, rows: Sequence[Sequence[int]], scratch_floats: int) -> None:
    """Run the kernel at address `kernel` once for each row of arguments.

    Uses torch.get_num_threads() threads, but no more than rows; each has a scratch of its own.
    """
    if len(rows) == 1:
        row, scratch = array("q", rows[0]), torch.empty(scratch_floats)
        _entry(kernel)(row.buffer_info()[0], scratch.data_ptr())
        return
    if not rows:
        return
    workers = min(torch.get_num_threads(), len(rows))
    # Whole cache lines, so that two workers never write to one.
    scratch = torch.empty(workers, -(-scratch_floats // 16) * 16)
    flat = array("q", (number for row in rows for number in row))
    width = 8 * len(rows[0])
    job = array(
        "q",
        (kernel, len(rows), flat.buffer_info()[0], width, scratch.data_ptr(),
         4 * scratch.shape[1], 0, 0),
    )  # fmt: skip
    _enter(_drain, job.buffer_info()[0], workers)


@lru_cache(maxsize=256)
def _entry(kernel: int) -> Callable[[int, int], None]:
    """A kernel as a function to call from here; no interpreter lock is held meanwhile."""
    return cast(
        "Callable[[int, int], None]",
        ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(kernel),
    )


def _enter(function: int, job: int, workers: int) -> None:
    """Call function(job) on so many threads at once, the caller's among them."""
    gomp = _gomp_parallel()
    plain = _job_entry(function)
    if workers == 1:
        plain(job)
    elif gomp is not None:
        gomp(function, job, workers, 0)
    else:
        with ThreadPoolExecutor(workers - 1) as pool:
            for _ in range(workers - 1):
                pool.submit(plain, job)
            plain(job)


@lru_cache(maxsize=1)
def _job_entry(function: int) -> Callable[[int], None]:
    return cast("Callable[[int], None]", ctypes.CFUNCTYPE(None, ctypes.c_int64)(function))


@lru_cache(maxsize=1)
def _gomp_parallel() -> Callable[..., None] | None:
    """libgomp's entry as torch itself has it loaded, or None where torch uses another runtime."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not library.exists() or "OpenMP" not in torch.__config__.parallel_info():
        return None
    entry = getattr(ctypes.CDLL(str(library)), "GOMP_parallel", None)
    if entry is not None:
        entry.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        entry.restype = None
    return entry
