"""How fast the processor runs at this moment: seconds of a fixed loop.

A guest of the same host on the other thread of a core makes everything on it slower by a third to a
half, for some hundredths of a second or for many, and no counter that a guest can read tells of it.
Work that is always the same does: where it takes longer, so does what is measured beside it.
"""

from __future__ import annotations

import time

SLOW = 1.10  # times the fastest reading; undisturbed ones lie within a few percent
_TIMES, _STEPS = 3, 1000


def pace() -> float:
    """Seconds of a thousand steps of plain Python, the shortest of three times: 0.2 ms in all."""
    shortest = float("inf")
    for _ in range(_TIMES):
        start, total = time.perf_counter(), 0
        for number in range(_STEPS):
            total += number * number
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
