"""How steady this machine is: equal work again and again, and how far its time spreads.

The work is small products of matrices in one thread and its cache, under a millisecond, so that
what varies is the machine: clocks, other processes, other guests. Groups of calls stand for the
rounds of a cell; their spread is what a difference between two runs has to exceed.
"""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from measure.contention import Contention, contention

_SIZE = 192
_GROUPS = 20


@dataclass(frozen=True)
class Noise:
    """Spread of equal work.

    Args:
        seconds: of the median call.
        spread: interquartile range over median, of the medians of 20 groups of calls.
        tail: 99th percentile of single calls over their median.
        contention: who else had the processor meanwhile.
    """

    calls: int
    seconds: float
    spread: float
    tail: float
    contention: Contention


def measure_noise(seconds: float = 10.0) -> Noise:
    """Repeats the work for so long."""
    left = np.full((_SIZE, _SIZE), 0.5, dtype=np.float32)
    out = np.empty_like(left)
    samples: list[int] = []
    with threadpool_limits(1), contention() as reading:
        end = time.perf_counter_ns() + int(seconds * 1e9)
        stop = 0
        while stop < end or len(samples) < 5 * _GROUPS:
            start = time.perf_counter_ns()
            for _ in range(4):
                np.matmul(left, left, out=out)
            stop = time.perf_counter_ns()
            samples.append(stop - start)
    return summarise(np.asarray(samples) * 1e-9, reading)


def summarise(samples: np.ndarray[tuple[int], np.dtype[np.float64]], reading: Contention) -> Noise:
    """The spread of samples (N,) in seconds, in the order taken, at least 20 of them."""
    medians = [float(np.median(group)) for group in np.array_split(samples, _GROUPS)]
    quarter, median, three_quarters = statistics.quantiles(medians, n=4, method="inclusive")
    middle = float(np.median(samples))
    tail = float(np.quantile(samples, 0.99)) / middle
    return Noise(len(samples), middle, (three_quarters - quarter) / median, tail, reading)


def timer_resolution() -> float:
    """Seconds of the smallest step that time.perf_counter_ns showed in some thousand readings."""
    readings = [time.perf_counter_ns() for _ in range(5000)]
    steps = [b - a for a, b in itertools.pairwise(readings) if b > a]
    return min(steps, default=0) * 1e-9
