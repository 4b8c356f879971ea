"""Run the tasks of one CPU kernel on torch's own OpenMP threads.

A second pool of threads beside torch's halves the speed of both: between its parallel regions
torch's threads spin for a while on the cores that the other pool needs, and the other way round
(measured on two cores: torch operations with a scan between took 1.2 to 1.4 times as long). So the
kernels enter torch's libgomp, by the same GOMP_parallel that torch's compiled code calls. Where
torch is built on another runtime (macOS, Windows), Python threads do the same work.

A kernel is compiled code `void(int64 *row, int64 scratch)`. Each task writes a place of its own,
and tasks are cut by shape alone, or (the scan's) so that sums do not depend on the cut: the number
of threads and the order in which they take tasks never change a bit of the result.

Each thread begins with its own share of the tasks, the first rows for torch's first thread and so
on, and helps the others only then; its scratch is the same from call to call. So what it wrote in
one layer is in its own cache in the next one. Where cores share no cache (a line takes 200 to 300
ns from one to the other instead of 40) an epoch of SASRec on two threads took 13% less time so than
with tasks taken as they came and a new scratch for each call.
"""

# mypy: disable-error-code="no-untyped-call,import-untyped"

from __future__ import annotations

import ctypes
import threading
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from llvmlite import ir
from numba import types

from models.ops.simd import call_task, emitted, fetch_add, integers, native

# A job: 0 kernel, 1 tasks, 2 address of their rows, 3 bytes of a row, 4 address of the scratch, 5
# bytes of one thread's scratch, 6 threads, 7 function that numbers them or 0, 8 threads arrived;
# from _COUNTERS on, a cache line apart, how many of each thread's share are taken.
_COUNTERS, _LINE = 16, 8


@emitted
def _call_number(typingctx: Any, function: Any) -> Any:
    """The result of the C function `int f(void)` at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        number = builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return builder.sext(number, ir.IntType(64))

    return types.int64(types.int64), codegen


@native(types.int64)
def _drain(job_at: int) -> None:
    """Do the tasks of this thread's share, then what is left of the others'."""
    job = integers(job_at)
    tasks, workers = job[1], job[6]
    mine = _call_number(job[7]) if job[7] != 0 else fetch_add(job, 8)
    scratch = job[4] + mine * job[5]
    for turn in range(workers):
        owner = (mine + turn) % workers
        start, stop = tasks * owner // workers, tasks * (owner + 1) // workers
        task = start + fetch_add(job, _COUNTERS + _LINE * owner)
        while task < stop:
            call_task(job[0], job[2] + task * job[3], scratch)
            task = start + fetch_add(job, _COUNTERS + _LINE * owner)


def run_tasks(kernel: int, rows: Sequence[Sequence[int]], scratch_floats: int) -> None:
    """Run the kernel at address `kernel` once for each row of arguments.

    Uses torch.get_num_threads() threads, but no more than rows; each has a scratch of its own.
    """
    if len(rows) == 1:
        row, scratch = array("q", rows[0]), _room(1, scratch_floats)
        _entry(kernel)(row.buffer_info()[0], scratch.data_ptr())
        return
    if not rows:
        return
    workers = min(torch.get_num_threads(), len(rows))
    scratch = _room(workers, scratch_floats)
    flat = array("q", chain.from_iterable(rows))
    width = 8 * len(rows[0])
    # Python's threads have no numbers of their own: they take shares as they arrive.
    numbering = _numbering() if _gomp_parallel() is not None else 0
    job = array(
        "q",
        (kernel, len(rows), flat.buffer_info()[0], width, scratch.data_ptr(),
         4 * scratch.shape[1], workers, numbering, *[0] * (_COUNTERS - 8 + _LINE * workers)),
    )  # fmt: skip
    _enter(_drain, job.buffer_info()[0], workers)


_kept = threading.local()


def _room(workers: int, floats: int) -> torch.Tensor:
    """A scratch (at least workers, at least floats), the same one for all calls from a thread: each
    worker's part stays in its own core's cache.
    """
    room: torch.Tensor | None = getattr(_kept, "room", None)
    if room is None or room.shape[0] < workers or room.shape[1] < floats:
        before = (0, 0) if room is None else room.shape
        # Whole cache lines, so that two workers never write to one.
        wide = max(before[1], -(-floats // 16) * 16)
        with torch.inference_mode(False):  # it outlives the mode that it is first asked for in
            room = _kept.room = torch.empty(max(before[0], workers), wide)
    return room


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
def _numbering() -> int:
    """Address of the function that numbers the threads of libgomp, or 0."""
    number = getattr(_runtime(), "omp_get_thread_num", None)
    return 0 if number is None else ctypes.cast(number, ctypes.c_void_p).value or 0


@lru_cache(maxsize=1)
def _runtime() -> ctypes.CDLL | None:
    """torch's library with the OpenMP runtime behind it, or None where it uses another."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not library.exists() or "OpenMP" not in torch.__config__.parallel_info():
        return None
    return ctypes.CDLL(str(library))


@lru_cache(maxsize=1)
def _gomp_parallel() -> Callable[..., None] | None:
    """libgomp's entry as torch itself has it loaded, or None where torch uses another runtime."""
    entry = getattr(_runtime(), "GOMP_parallel", None)
    if entry is not None:
        entry.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        entry.restype = None
    return entry
