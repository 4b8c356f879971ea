"""Time: a coarse window around work on a device, and warm-up until the work is steady.

Launches on a GPU are asynchronous, so a window waits for the device before it starts and before it
stops; on a CPU there is nothing to wait for. A window should last a millisecond or more: repeat
shorter work inside it and divide. The quantiles of what was timed and the contention of a block are
part of the same reading, so they can be had from here as well.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from measure.contention import Contention, contention
from measure.quantile import median_metric, percentile_metrics

__all__ = [
    "Contention",
    "Stopwatch",
    "StreamEvents",
    "contention",
    "gc_disabled",
    "median_metric",
    "now",
    "percentile_metrics",
    "synchronize",
    "until_steady",
]

STEADY_CALLS = 5
STEADY_SPREAD = 0.05


def now() -> float:
    """Seconds of the monotonic performance counter; only differences mean anything."""
    return time.perf_counter_ns() * 1e-9


def synchronize(device: str) -> None:
    """Wait until `device` ("cpu", "cuda", "cuda:1") has done all that was launched on it."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


class Stopwatch:
    """The seconds of a block: `with Stopwatch("cuda") as watch: ...`, then `watch.seconds`.

    A watch can be used again; `seconds` is that of the last block and None while one runs.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds: float | None = None
        self._start_ns = 0

    def __enter__(self) -> Stopwatch:
        self.seconds = None
        synchronize(self.device)
        self._start_ns = time.perf_counter_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an error the device may not answer any more, and the time is of no use.
        if kind is None:
            synchronize(self.device)
            self.seconds = (time.perf_counter_ns() - self._start_ns) * 1e-9


class StreamEvents:
    """Two events in a CUDA device's stream: `begin()`, launch work, `end()`, wait, `seconds()`."""

    def __init__(self, device: str) -> None:
        import torch

        self._stream = torch.cuda.current_stream(device)
        made = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        self._first, self._last = made

    def begin(self) -> None:
        """Before the work is launched."""
        self._first.record(self._stream)

    def end(self) -> None:
        """After the work was launched."""
        self._last.record(self._stream)

    def seconds(self) -> float:
        """From the one to the other, on the device's clock; both must have been passed."""
        return float(self._first.elapsed_time(self._last)) / 1e3


def until_steady(
    run: Callable[[], None],
    *,
    device: str,
    minimum: int = 3,
    maximum: int = 50,
    seconds: float = 30.0,
) -> float:
    """Warm up: call `run` until its last five durations lie within 5% of their median.

    Args:
        minimum: calls made in any case, however long they take.
        maximum: calls after which it stops, steady or not.
        seconds: time after which it stops, steady or not; a call under way is not cut off.

    Returns:
        The seconds that the warm-up took.
    """
    start = now()
    durations: list[float] = []
    watch = Stopwatch(device)
    while not _warm(durations, now() - start, minimum, maximum, seconds):
        with watch:
            run()
        durations.append(watch.seconds or 0.0)
    return now() - start


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Collect now and keep Python's collector out of the block, for latencies; then as it was.

    Epochs are timed with the collector on, since their users pay for it.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _warm(
    durations: list[float], elapsed: float, minimum: int, maximum: int, seconds: float
) -> bool:
    if len(durations) < minimum:
        return False
    return len(durations) >= maximum or elapsed >= seconds or _steady(durations)


def _steady(durations: list[float]) -> bool:
    last = sorted(durations[-STEADY_CALLS:])
    if len(last) < STEADY_CALLS:
        return False
    return last[-1] - last[0] < STEADY_SPREAD * last[len(last) // 2]
