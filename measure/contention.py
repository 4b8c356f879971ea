"""Did somebody else have the processor while a block was measured?

A block is marked `contended` where the hypervisor ran another guest for more than 2% of it (steal,
counted on Linux guests only), or where other processes took more than 5% of the time of the
processors that this one is bound to (of all where it is bound to none). Used as
`with contention() as reading: ...`, then read `reading.flags`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

STEAL_LIMIT_PERCENT = 2.0
OTHERS_LIMIT_PERCENT = 5.0
# The kernel counts in ticks; one in a short block says nothing, nor one at each end of its parts.
_TICK_SECONDS = 0.01


@dataclass
class Contention:
    """What a block saw of others; filled in when the block ends.

    Args:
        steal_percent: of the bound processors' time; None where the system keeps no count.
        others_percent: of the same, used by other processes than this one.
        load_before, load_after: one-minute load averages; None where there are none (Windows).
        flags: ["contended"] when steal exceeds 2% or others 5%, and either 0.02 s, with 5 ms more
            for each part that was apart.
        reason: why steal_percent is None.
        bound: the processors that are read; None for all.
    """

    def __post_init__(self) -> None:
        self._elsewhere: list[tuple[Any, Any, float]] = []

    steal_percent: float | None = None
    others_percent: float | None = None
    load_before: float | None = None
    load_after: float | None = None
    flags: list[str] = field(default_factory=list)
    reason: str | None = "the block has not ended"
    bound: tuple[int, ...] | None = None

    @contextmanager
    def apart(self) -> Iterator[None]:
        """The time of this block, inside the one that is read, is not read: somebody else was meant
        to have the processor.
        """
        before, own = self._now()
        yield
        after, own_after = self._now()
        self._elsewhere.append((before, after, own_after - own))

    def _now(self) -> tuple[Any, float]:
        return cpu_times(self.bound), _own_seconds()


@contextmanager
def contention() -> Iterator[Contention]:
    """Steal and load over a block; the reading is complete after the block, also when it raises."""
    reading = Contention(load_before=_load(), bound=bound_cpus())
    before, own_before = reading._now()
    try:
        yield reading
    finally:
        after, own = reading._now()
        for left, back, meanwhile in reading._elsewhere:
            before = type(before)(
                *(b + (y - x) for b, x, y in zip(before, left, back, strict=True))
            )
            own_before += meanwhile
        least = _TICK_SECONDS * (2 + len(reading._elsewhere) / 2)
        _conclude(reading, before, after, own - own_before, least)
        reading.load_after = _load()


def bound_cpus() -> tuple[int, ...] | None:
    """The processors that this process may run on; None for all, or where that can't be told."""
    count = psutil.cpu_count()
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    # Counters come by place: with processors taken offline a place is not a number.
    told = len(psutil.cpu_times(percpu=True)) == count and allowed[-1] < (count or 0)
    return allowed if told and len(allowed) < (count or 0) else None


def cpu_times(bound: tuple[int, ...] | None) -> Any:
    """What the system has counted on these processors, summed; on all for None."""
    if bound is None:
        return psutil.cpu_times()
    each = psutil.cpu_times(percpu=True)
    return type(each[0])(*(sum(column) for column in zip(*(each[i] for i in bound), strict=True)))


def _conclude(
    reading: Contention, before: Any, after: Any, own_seconds: float, least: float
) -> None:
    """Fill the reading in; less than `least` seconds of others is no reason for a flag."""
    total = _total(after) - _total(before)
    if total <= 0:
        reading.reason = "the block was shorter than the kernel's 10 ms tick"
        return
    stolen = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
    busy = total - _idle(after) + _idle(before) - stolen
    others = min(max(busy - own_seconds, 0.0), total)
    reading.others_percent = 100 * others / total
    if reading.others_percent > OTHERS_LIMIT_PERCENT and others >= least:
        reading.flags.append("contended")
    if not hasattr(after, "steal"):
        reading.reason = "this system does not count steal"
        return
    reading.reason = None
    reading.steal_percent = 100 * max(stolen, 0.0) / total
    if reading.steal_percent > STEAL_LIMIT_PERCENT and stolen >= least:
        reading.flags[:] = ["contended"]


def _total(times: Any) -> float:
    # Linux counts guests' time inside user and nice already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guests)


def _idle(times: Any) -> float:
    return float(times.idle + getattr(times, "iowait", 0.0))


def _own_seconds() -> float:
    return sum(os.times()[:4])  # user and system, of this process and of its ended children


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
