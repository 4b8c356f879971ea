"""What a measured block did to the machine: clocks, temperatures, throttling, and who else ran.

    with telemetry("cuda") as seen:
        ...
    seen.flags, seen.to_dict()

Read just before and just after the block, never inside it. A block is marked `throttled` where a
clock fell by more than 5%, where NVML gives a reason for a slower clock, or where the kernel
counted a thermal event of a processor. Clocks and limits are only read; what is not readable is
None.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from measure.contention import Contention, contention
from measure.core_distance import core_distance
from measure.device import device_index, device_snapshot

CLOCK_DROP_LIMIT = 0.05
_CPUS = Path("/sys/devices/system/cpu")

Snapshot = dict[str, Any]


@dataclass
class Telemetry:
    """Readings before and after a block; filled in when the block ends.

    Args:
        before, after: see `snapshot`.
        throttle: why the block counts as throttled; empty where it does not.
        contention: steal and load over the block.
    """

    contention: Contention
    before: Snapshot = field(default_factory=dict)
    after: Snapshot = field(default_factory=dict)
    throttle: list[str] = field(default_factory=list)

    @property
    def flags(self) -> list[str]:
        """ "contended" and "throttled", as they apply."""
        return self.contention.flags + (["throttled"] if self.throttle else [])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for a record."""
        return {
            "before": self.before,
            "after": self.after,
            "throttle": self.throttle,
            "steal_percent": self.contention.steal_percent,
            "others_percent": self.contention.others_percent,
            "load_before": self.contention.load_before,
            "load_after": self.contention.load_after,
        }


@contextmanager
def telemetry(device: str = "cpu") -> Iterator[Telemetry]:
    """Readings around a block on `device`; complete after the block, also when it raises."""
    seen = Telemetry(Contention(), before=snapshot(device))
    try:
        with contention() as seen.contention:
            yield seen
    finally:
        seen.after = snapshot(device)
        seen.throttle = throttle_reasons(seen.before, seen.after)


def snapshot(device: str = "cpu") -> Snapshot:
    """Clock (Hz) and temperature (degrees C) of the processor, its thermal events so far, seconds
    from core to core, and for a CUDA device what measure/device.py reads of it.
    """
    # The GPU before all else: its clock falls within the milliseconds that the others take.
    gpu = device_snapshot(device_index(device)) if device.startswith("cuda") else None
    found: Snapshot = {
        "cpu_clock_hz": _cpu_clock(),
        "cpu_temperature_c": _cpu_temperature(),
        "cpu_thermal_events": _thermal_events(),
        # Asked where the kernels whose threads share data are loaded: LLVM takes half a second.
        "core_distance_s": core_distance() if "numba" in sys.modules else None,
    }
    return found if gpu is None else found | {"gpu": gpu}


def throttle_reasons(before: Snapshot, after: Snapshot) -> list[str]:
    """Why a block between two snapshots counts as throttled; empty where it does not."""
    reasons = []
    if _fell(before.get("cpu_clock_hz"), after.get("cpu_clock_hz")):
        reasons.append("cpu_clock_drop")
    events, events_after = before.get("cpu_thermal_events"), after.get("cpu_thermal_events")
    if events is not None and events_after is not None and events_after > events:
        reasons.append("cpu_thermal")
    gpu, gpu_after = before.get("gpu") or {}, after.get("gpu") or {}
    if _fell(gpu.get("sm_clock_hz"), gpu_after.get("sm_clock_hz")):
        reasons.append("gpu_clock_drop")
    given = [*(gpu.get("throttle") or []), *(gpu_after.get("throttle") or [])]
    return reasons + [f"gpu_{reason}" for reason in dict.fromkeys(given)]


def _fell(before: float | None, after: float | None) -> bool:
    return bool(before and after is not None and after < (1 - CLOCK_DROP_LIMIT) * before)


def _cpu_clock() -> float | None:
    """The fastest core's clock: the others may be idle, and idle is not throttled."""
    try:
        cores = psutil.cpu_freq(percpu=True) or []
    except (AttributeError, OSError, NotImplementedError, RuntimeError):
        return None
    fastest = max((core.current for core in cores), default=0.0)
    return fastest * 1e6 if fastest > 0 else None


def _cpu_temperature() -> float | None:
    """The hottest sensor of the processor."""
    if not hasattr(psutil, "sensors_temperatures"):
        return None
    try:
        sensors = psutil.sensors_temperatures()
    except (OSError, ValueError, RuntimeError):
        return None
    of_cpu = [
        sensors[name]
        for name in ("coretemp", "k10temp", "zenpower", "cpu_thermal")
        if name in sensors
    ]
    return max((entry.current for entries in of_cpu for entry in entries), default=None)


def _thermal_events() -> int | None:
    """How often the processors' cores have been slowed for heat since the start; Intel's count."""
    if sys.platform != "linux":
        return None
    counts = []
    for path in _CPUS.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"):
        try:
            counts.append(int(path.read_text()))
        except (OSError, ValueError):
            continue
    return sum(counts) if counts else None
