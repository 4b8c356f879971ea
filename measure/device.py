"""What NVML says about the GPUs: names, memory in use, clocks, temperature, throttling.

NVML is read through nvidia-ml-py and only read: clocks and limits are never set. Where there is no
driver or a reading is refused, the answer is None or an empty list together with the reason.
Numbers are those of CUDA: `index` counts the devices that CUDA_VISIBLE_DEVICES lets through, in
NVML's order, by PCI bus, which CUDA follows with `PCI_ORDER` in its environment (its own order is
fastest first). A slice of a card (MIG) that is named by its UUID gives what NVML tells of a slice,
such as its memory, and refuses what only the card has; where the variable has a number, or is not
set, readings are the whole card's, though CUDA computes on its first slice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# For the environment of whatever computes; nvidia-smi counts so too.
PCI_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

# nvml.h, nvmlClocksEventReasons; idle and the user's own clock setting are no throttling.
_THROTTLE_BITS = {
    0x04: "power_cap",
    0x08: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "software_thermal",
    0x40: "hardware_thermal",
    0x80: "hardware_power_brake",
}


def list_gpus() -> tuple[list[dict[str, Any]], str | None]:
    """The visible GPUs as name, memory_bytes and driver; an empty list comes with its reason."""
    try:
        with _nvml() as nvml:
            driver = _text(nvml.nvmlSystemGetDriverVersion())
            gpus = [_describe(nvml, handle, driver) for handle in _visible_handles(nvml)]
    except Exception as error:
        return [], _reason(error)
    return gpus, None if gpus else "no GPU is visible"


def device_used_bytes(index: int = 0) -> tuple[int | None, str | None]:
    """Memory in use on a whole GPU, all processes and CUDA contexts included; or None and why."""
    try:
        with _nvml() as nvml:
            handle = _visible_handles(nvml)[index]
            return int(nvml.nvmlDeviceGetMemoryInfo(handle).used), None
    except Exception as error:
        return None, _reason(error)


def device_snapshot(index: int = 0) -> dict[str, Any]:
    """SM clock (Hz), temperature (degrees C), power and its cap (W), and throttle reasons.

    Readings that a device refuses are None; without NVML the snapshot is {"reason": ...}.
    """
    try:
        with _nvml() as nvml:
            return _read_snapshot(nvml, _visible_handles(nvml)[index])
    except Exception as error:
        return {"reason": _reason(error)}


def device_energy(index: int = 0) -> tuple[float | None, str | None]:
    """Joules of a whole GPU since its driver was loaded (Volta and later); or None and why."""
    try:
        with _nvml() as nvml:
            handle = _visible_handles(nvml)[index]
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * 1e-3, None
    except Exception as error:
        return None, _reason(error)


def device_power(index: int = 0) -> tuple[float | None, str | None]:
    """Watts that a whole GPU draws now; or None and why."""
    try:
        with _nvml() as nvml:
            handle = _visible_handles(nvml)[index]
            return int(nvml.nvmlDeviceGetPowerUsage(handle)) * 1e-3, None
    except Exception as error:
        return None, _reason(error)


@contextmanager
def held_open() -> Iterator[None]:
    """NVML stays open over the block, so that the readings in it need not open it each time."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Exception):  # a reading says what is missing
            stack.enter_context(_nvml())
        yield


def device_index(device: str) -> int:
    """1 of "cuda:1"; plain "cuda" is device 0, as in a worker, which never chooses another."""
    number = device.partition(":")[2]
    return int(number) if number else 0


@contextmanager
def _nvml() -> Iterator[Any]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _visible_handles(nvml: Any) -> list[Any]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return handles
    chosen = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isdigit() and int(entry) < len(handles):
            chosen.append(handles[int(entry)])
        elif entry.startswith("MIG-"):
            chosen.append(nvml.nvmlDeviceGetHandleByUUID(entry))
        elif len(named := [h for h in handles if _is_named(nvml, h, entry)]) == 1:
            chosen.append(named[0])
        else:
            break  # CUDA ignores an invalid entry and all that follow it
    return chosen


def _is_named(nvml: Any, handle: Any, entry: str) -> bool:
    """Whether an entry is a card's UUID, of which CUDA takes the beginning too."""
    return entry.startswith("GPU-") and _text(nvml.nvmlDeviceGetUUID(handle)).startswith(entry)


def _describe(nvml: Any, handle: Any, driver: str) -> dict[str, Any]:
    return {
        "name": _text(nvml.nvmlDeviceGetName(handle)),
        "memory_bytes": int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        "driver": driver,
    }


def _read_snapshot(nvml: Any, handle: Any) -> dict[str, Any]:
    megahertz = _read(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
    power = _read(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    cap = _read(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    bits = _read(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    if bits is None:  # its name in drivers and packages before 535
        bits = _read(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    return {
        "sm_clock_hz": None if megahertz is None else megahertz * 1_000_000,
        "temperature_c": _read(
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        ),
        "power_w": None if power is None else power / 1000,
        "power_cap_w": None if cap is None else cap / 1000,
        "throttle": None if bits is None else [v for k, v in _THROTTLE_BITS.items() if bits & k],
    }


def _read(reading: Callable[[], int]) -> int | None:
    try:
        return int(reading())
    except Exception:  # NVML's errors have no common base that exists without pynvml
        return None


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _reason(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "nvidia-ml-py is not installed"
    if isinstance(error, IndexError):
        return "no such GPU is visible"
    return f"NVML: {error}"
