"""Run the tasks of one CPU kernel on as many threads as torch uses.

The kernels release the interpreter lock, so plain threads do. Numba's own `prange` is not used: its
portable thread layer ends the process when two threads enter it at once, and its thread count is
not torch's. Tasks are cut by shape alone and each writes a place of its own, so the number of
threads and the order in which they take tasks never change a bit of the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def worker_count(tasks: int) -> int:
    """Threads that `run_tasks` will use: torch.get_num_threads(), but no more than tasks."""
    return max(1, min(torch.get_num_threads(), tasks))


def run_tasks(work: Callable[[int, int], None], tasks: int) -> None:
    """Call work(task, worker) for each task below `tasks`; the caller's thread is worker 0."""
    workers = worker_count(tasks)
    pending = iter(range(tasks))  # next() on it is atomic, so it hands out tasks by itself

    def drain(worker: int) -> None:
        for task in pending:
            work(task, worker)

    futures = [_executor(workers - 1).submit(drain, w) for w in range(1, workers)]
    try:
        drain(0)
    finally:
        # Buffers belong to the caller, so nobody may still be writing when it goes on.
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


def _executor(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or size > _pool_size:
        # A smaller pool that another thread still uses finishes its work; its threads then end.
        _pool, _pool_size = ThreadPoolExecutor(size, thread_name_prefix="models-ops"), size
    return _pool


def _forget_pool() -> None:
    global _pool, _pool_size
    _pool, _pool_size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not survive a fork
