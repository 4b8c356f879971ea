"""How far two cores are from each other: seconds that a cache line takes from one to the other.

Cores that share a cache hand a line over in some 40 ns, cores of two chiplets or sockets in 200 to
300. A host may move a guest's virtual processors from the one to the other while it runs, of which
nothing is counted as steal; work on several threads that pass data on is slower then.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable

from measure.clock import now

_WARM, _HANDED, _TRIES = 200, 1000, 3  # pairs of hand-overs: 0.1 to 0.6 ms a try
_PATIENCE = 50_000_000  # looks at the line before a side gives up: tenths of a second


def core_distance() -> float | None:
    """Seconds from the first to the last processor that this process may run on, the least of
    three tries; None with one processor, where a process can't choose its processor, without
    Numba, and where others kept one of the two busy.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    try:
        # Imported here so that a process which never asks does not load LLVM.
        from measure.hand_over import hand_over
    except (ImportError, RuntimeError):  # missing, or no place for what it compiles
        return None
    line = array("q", [0] * 16)  # two cache lines, of which the middle is on one or the other
    found: list[float | None] = []
    sides = [
        threading.Thread(target=_pass_on, args=(hand_over, line, who, processor, found))
        for who, processor in enumerate((allowed[0], allowed[-1]))
    ]
    for side in sides:
        side.start()
    for side in sides:
        side.join()
    seconds = [s for s in found if s is not None]
    return min(seconds) if len(seconds) == 2 * _TRIES else None


def _pass_on(
    hand_over: Callable[..., int], line: array[int], who: int, processor: int,
    found: list[float | None],
) -> None:  # fmt: skip
    """One of the two; Linux binds the thread that asks, not the process."""
    try:
        os.sched_setaffinity(0, {processor})
    except OSError:  # taken from this process since, or not allowed
        return
    at = line.buffer_info()[0] + 64
    turn = 0
    ready = hand_over(at, who, turn, _WARM, _PATIENCE)
    for _ in range(_TRIES):
        turn += 2 * (_WARM if turn == 0 else _HANDED)
        start = now()
        ready = ready and hand_over(at, who, turn, _HANDED, _PATIENCE)
        found.append((now() - start) / (2 * _HANDED) if ready else None)
