"""A load as users make it: requests arrive when they do, whether or not the server is free.

    served = serve_arrivals(serve, poisson_arrivals(200.0, 3000, seed=0))
    served.latencies  # each from its scheduled arrival, so waiting in the queue counts

One loop serves in order of arrival. It starts a request at its arrival or, where the one before is
not done, as soon as that is. Timing each request from when it was started instead would leave out
the queue, which is what users feel (Gil Tene calls it coordinated omission).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Sleeping ends late by the kernel's timer slack (50 us) and by what it takes to be scheduled again,
# so the last stretch is waited for by looking at the clock.
_SPIN_SECONDS = 0.001


class Clock(Protocol):
    """Seconds, and waiting for them; a test can have them pass without time."""

    def now(self) -> float: ...

    def wait_until(self, moment: float) -> None: ...


class WallClock:
    """Real time: sleeps while that is safe, then watches the clock, so that a start is on time."""

    def now(self) -> float:
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Return at `moment` (seconds of `now`), or at once where it has passed."""
        while (left := moment - time.perf_counter()) > 0:
            if left > 2 * _SPIN_SECONDS:
                time.sleep(left - _SPIN_SECONDS)


@dataclass(frozen=True)
class Served:
    """What became of the requests; arrays (n,) of seconds, in order of arrival.

    Args:
        arrivals: as scheduled, from the beginning of the load.
        starts, ends: when the server took a request up and when it was done with it.
        idle: whether the server was free at the arrival.
        complete: False where the load was broken off, see `serve_arrivals`.
    """

    arrivals: Floats
    starts: Floats
    ends: Floats
    idle: NDArray[np.bool_]
    complete: bool = True

    @property
    def latencies(self) -> Floats:
        """From the scheduled arrival to the answer."""
        return self.ends - self.arrivals

    @property
    def waits(self) -> Floats:
        """From the scheduled arrival to the server's beginning."""
        return self.starts - self.arrivals

    @property
    def services(self) -> Floats:
        return self.ends - self.starts

    @property
    def utilization(self) -> float:
        """Share of the time, from the first arrival to the last answer, in which it worked."""
        return float(self.services.sum() / (self.ends[-1] - self.arrivals[0]))

    def independent(self, above: float) -> float:
        """How many independent requests these are worth where the share over `above` is asked for.

        A request that waits makes the next one wait, so neighbours say much the same. But whenever
        the server is free the queue starts afresh: what happens between two such moments is
        independent of the rest, and the variance of the share is that of a ratio of these cycles'
        sums (Crane and Iglehart, Operations Research 23, 1975). Divided into the variance that one
        independent request would have, that gives the number; 0 with fewer than ten cycles.
        """
        cycle = np.cumsum(self.idle) - int(self.idle[0])
        over = (self.latencies > above).astype(float)
        share, count = float(over.mean()), len(over)
        cycles = int(cycle[-1]) + 1
        if cycles < 10:
            return 0.0
        left = np.bincount(cycle, over) - share * np.bincount(cycle)
        spread = float((left**2).sum()) * cycles / (cycles - 1)
        if spread == 0.0:
            return float(count)
        return min(count, count * count * share * (1 - share) / spread)


def serve_arrivals(
    serve: Callable[[int], object],
    arrivals: Sequence[float] | Floats,
    *,
    clock: Clock | None = None,
    late_after: float | None = None,
    late_allowed: int = 0,
) -> Served:
    """Serve request 0, 1, ... at their scheduled seconds, one after the other.

    Args:
        serve: answers one request and returns when the answer is there.
        arrivals: seconds from the beginning, increasing; at least one.
        late_after, late_allowed: break off once more than `late_allowed` requests took longer than
            `late_after` seconds; the outcome is certain then, and a queue that grows takes long.
    """
    clock = clock or WallClock()
    schedule = [float(arrival) for arrival in arrivals]
    starts, ends, idle = [], [], []
    limit = float("inf") if late_after is None else late_after
    late = 0
    begin = clock.now() + _SPIN_SECONDS
    for index, arrival in enumerate(schedule):
        due = begin + arrival
        free = clock.now() <= due
        if free:
            clock.wait_until(due)
        start = clock.now()
        serve(index)
        end = clock.now()
        idle.append(free)
        starts.append(start - begin)
        ends.append(end - begin)
        if end - due > limit:
            late += 1
            if late > late_allowed:
                break
    done = len(ends)
    return Served(
        np.asarray(schedule[:done]),
        np.asarray(starts),
        np.asarray(ends),
        np.asarray(idle),
        complete=done == len(schedule),
    )
