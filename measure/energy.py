"""Joules of a block of work, gross and net of the power when idle.

    with EnergyMeter(find_source("cuda")) as meter:
        idle = idle_watts(meter)
        windows = measure_windows(work, meter, device="cuda")
    energy_metrics("energy_per_epoch", windows, per=1.0, idle=idle, source=meter.source)

The hardware is read in measure/energy_source.py alone; everything here is arithmetic on what that
gives. A number needs five windows of five seconds; the power when idle, measured before, is
subtracted in a second one.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from measure.clock import now, synchronize
from measure.device import held_open
from measure.energy_source import Reading, Source, read_hardware
from measure.record import Metric, not_measured

WINDOW_SECONDS = 5.0
WINDOWS = 5
# A counter of 32 bits at 100 W wraps after minutes: reading it this often misses no turn.
_TICK_SECONDS = {"nvml_power_integrated": 0.05, "rapl": 10.0}


@dataclass(frozen=True)
class Window:
    """A stretch of repeated work: calls made, seconds, joules."""

    calls: int
    seconds: float
    joules: float


class EnergyMeter:
    """Joules since the meter was entered, over wrapped counters and sampled power.

    Args:
        read: the hardware; a stand-in in tests.
    """

    def __init__(
        self, source: Source, *, read: Callable[[Source], Reading] = read_hardware
    ) -> None:
        assert source.name in _TICK_SECONDS or source.name == "nvml_counter", source
        self.source = source
        self._read = read
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._total = 0.0
        self._held = contextlib.ExitStack()

    def __enter__(self) -> EnergyMeter:
        if self.source.name.startswith("nvml"):
            self._held.enter_context(held_open())
        self._last_time, self._last = now(), self._read(self.source)
        tick = _TICK_SECONDS.get(self.source.name)
        self._thread = None
        if tick is not None:
            self._thread = threading.Thread(target=self._sample, args=(tick,), daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._held.close()

    def joules(self) -> float:
        """Joules from entering the meter until now."""
        with self._lock:
            at, reading = now(), self._read(self.source)
            if self.source.name == "nvml_power_integrated":
                mean = (self._last["power"] + reading["power"]) / 2
                self._total += mean * (at - self._last_time)
            else:
                self._total += sum(self._rise(name, reading[name]) for name in reading)
            self._last_time, self._last = at, reading
            return self._total

    def _rise(self, name: str, value: float) -> float:
        rise = value - self._last[name]
        return rise if rise >= 0 else rise + self.source.ranges.get(name, 0.0)

    def _sample(self, tick: float) -> None:
        while not self._ended.wait(tick):
            with contextlib.suppress(OSError):  # the reading at the window's end tells
                self.joules()


def idle_watts(
    meter: EnergyMeter,
    *,
    seconds: float = WINDOW_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Power while this process does nothing."""
    with _window(meter) as read:
        sleep(seconds)
    took, joules = read()
    return joules / took


def measure_windows(
    work: Callable[[], object],
    meter: EnergyMeter,
    *,
    device: str = "cpu",
    seconds: float = WINDOW_SECONDS,
    count: int = WINDOWS,
    most_seconds: float = 120.0,
) -> list[Window]:
    """`count` windows of at least `seconds` each, `work` repeated in each as often as it takes.

    Fewer windows where `most_seconds` are over before: the work is too long for them.
    """
    windows: list[Window] = []
    begin = now()
    while len(windows) < count and now() - begin < most_seconds:
        calls = 0
        with _window(meter, device) as read:
            start = now()
            while calls == 0 or now() - start < seconds:
                work()
                synchronize(device)
                calls += 1
        windows.append(Window(calls, *read()))
    return windows


def energy_metrics(
    name: str, windows: list[Window], *, per: float, idle: float, source: Source
) -> dict[str, Metric]:
    """`<name>` (gross), `<name>_net` (idle's power subtracted) and `idle_power`.

    Args:
        per: how many of what `name` is counted in one call does, such as 0.3 epochs.
    """
    method = f"{source.reason}, median of windows of {WINDOW_SECONDS:g} s or more"
    reason = _too_little(windows)
    if reason is not None:
        return no_energy(name, Source(source.name, reason))
    gross = [window.joules / (window.calls * per) for window in windows]
    net = [(w.joules - idle * w.seconds) / (w.calls * per) for w in windows]
    return {
        name: _metric(gross, method, source),
        f"{name}_net": (
            _metric(net, f"{method}, less {idle:.3g} W when idle", source)
            if statistics.median(net) > 0
            else _null("not above the power when idle", source)
        ),
        "idle_power": Metric(
            idle, "W", "none", "energy", f"{source.reason}, asleep", source=source.name
        ),
    }


def estimated_metrics(name: str, *, watts: float, seconds: float) -> dict[str, Metric]:
    """What the user's own figure for the power gives; marked as an estimate, and never net.

    Args:
        seconds: what one of what `name` is counted in takes.
    """
    source = Source("estimated_tdp", f"estimate, not measured: {watts:g} W x seconds")
    return {
        name: Metric(
            watts * seconds, "J", "lower", "energy", source.reason, source="estimated_tdp"
        ),
        f"{name}_net": _null("an estimate knows no power when idle", source),
    }


def no_energy(name: str, source: Source) -> dict[str, Metric]:
    """Both metrics without a value, with the source's reason."""
    return {full: _null(source.reason, source) for full in (name, f"{name}_net")}


@contextmanager
def _window(meter: EnergyMeter, device: str = "cpu") -> Iterator[Callable[[], tuple[float, float]]]:
    """Hands out a function that gives the window's seconds and joules once it is over."""
    synchronize(device)
    start, joules = now(), meter.joules()
    found: list[float] = []
    yield lambda: (found[0], found[1])
    synchronize(device)
    found += [now() - start, meter.joules() - joules]


def _too_little(windows: list[Window]) -> str | None:
    short = [window for window in windows if window.seconds < WINDOW_SECONDS]
    if not short and len(windows) >= WINDOWS:
        return None
    return (
        f"{len(windows) - len(short)} windows of {WINDOW_SECONDS:g} s, {WINDOWS} are needed:"
        " the work is too long or was stopped"
    )


def _metric(joules: list[float], method: str, source: Source) -> Metric:
    return Metric(
        statistics.median(joules), "J", "lower", "energy", method,
        n=len(joules), lo=min(joules), hi=max(joules), source=source.name,
    )  # fmt: skip


def _null(reason: str, source: Source) -> Metric:
    return not_measured(reason, unit="J", better="lower", kind="energy", source=source.name)
