"""Requests one after the other, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from bench.cell import Cell
from bench.findings import Findings
from measure.clock import StreamEvents, synchronize

# Requests stop after so long, however many were asked for; percentiles then follow what there is.
LATENCY_SECONDS = 30.0
ON_DEVICE = "latency_gpu"  # the long series of seconds between a device's events
ON_EVENTS = "events in a CUDA device's stream, launching included"
_MOST = 5_000  # of a block, however short they are
_BLOCKS = 10


def one_by_one(
    cell: Cell, request: Callable[[int], object], findings: Findings
) -> list[list[float]]:
    """Up to ten blocks of requests, one after the other."""
    blocks: list[list[float]] = []
    many = min(_BLOCKS, cell.requests)
    for number in range(many):
        first, last = (cell.requests * n // many for n in (number, number + 1))
        findings.turn()
        block = time_each(
            request,
            last - first,
            device=cell.device,
            first=sum(map(len, blocks)),
            seconds=(cell.round_seconds or 0.0) / many,
            longest=LATENCY_SECONDS / many,
            on_device=None if cell.device == "cpu" else findings.raw.setdefault(ON_DEVICE, []),
        )
        blocks.append(block)
        if sum(map(sum, blocks)) > LATENCY_SECONDS:
            break
    return blocks


def time_each(
    request: Callable[[int], object],
    count: int,
    *,
    device: str,
    first: int = 0,
    seconds: float = 0.0,
    longest: float = LATENCY_SECONDS,
    on_device: list[float] | None = None,
) -> list[float]:
    """Seconds of each of `count` requests, one after the other, from number `first` on; fewer where
    they take longer than `longest`, and more where they are through in less than `seconds`.

    Args:
        on_device: to which seconds of the same requests from event to event of a CUDA device's
            stream are added: what the host's have beside them is launching and waiting.
    """
    # The counter itself, since a Stopwatch's calls are a hundredth of the shortest requests.
    latencies: list[float] = []
    launches = device != "cpu"
    events = None if on_device is None else StreamEvents(device)
    begun = time.perf_counter()
    enough, end = begun + seconds, begun + longest
    for index in range(first, first + max(count, _MOST)):
        if launches:
            synchronize(device)
        start = time.perf_counter()
        if events is not None:
            events.begin()
        request(index)
        if events is not None:
            events.end()
        if launches:
            synchronize(device)
        stop = time.perf_counter()
        latencies.append(stop - start)
        if events is not None and on_device is not None:
            on_device.append(events.seconds())
        if stop > end or (stop >= enough and len(latencies) >= count):
            break
    return latencies


def consecutive(samples: Sequence[float]) -> list[list[float]]:
    """The samples in up to ten blocks."""
    blocks = np.array_split(np.asarray(samples), min(_BLOCKS, len(samples)))
    return [[float(sample) for sample in block] for block in blocks]


def medians(blocks: Sequence[Sequence[float]]) -> list[float]:
    """What the front-end shows for all requests."""
    return [float(np.median(block)) for block in blocks]
