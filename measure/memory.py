"""Peak memory by phase, of the host process or of a CUDA device.

    memory = make_memory("cpu")
    with memory.phase("forward"):
        ...
    memory.metrics()  # memory_baseline, memory_forward, memory_peak

A phase is charged with the bytes by which it raised the highest mark so far, so the phases add up
to memory_peak exactly. Make it in a fresh process after the imports and one warm-up operation, for
what is resident then is the baseline; and keep it out of timed blocks: a phase starts by emptying
caches.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from measure.device import device_used_bytes
from measure.highwater import choose_high_water
from measure.record import Metric, not_measured

_RESERVED_NAMES = ("baseline", "peak")
# What torch's allocator counts since the process began -> the metric of the phases' share.
_EVENTS = {"num_alloc_retries": "cuda_alloc_retries", "num_ooms": "cuda_ooms"}


class _Phases:
    """Who raised the highest mark, and by how much; in the order in which phases ended."""

    def __init__(self, baseline: int) -> None:
        self.baseline = baseline
        self.highest = baseline
        self.raised: dict[str, int] = {}
        self.raw: dict[str, int] = {}
        self.current: str | None = None

    def begin(self, name: str) -> None:
        if name in _RESERVED_NAMES:
            raise ValueError(f"phase {name!r}: {' and '.join(_RESERVED_NAMES)} are taken")
        assert self.current is None, f"phase {name!r} inside phase {self.current!r}: one at a time"
        self.current = name
        self.raised.setdefault(name, 0)

    def end(self, name: str, peak: int) -> None:
        self.current = None
        self.raw[name] = max(peak, self.raw.get(name, 0))
        self.raised[name] += max(peak - self.highest, 0)
        self.highest = max(peak, self.highest)

    def metrics(self, kind: str, method: str) -> dict[str, Metric]:
        values = {"baseline": self.baseline}
        values |= self.raised
        values |= {"peak": self.highest - self.baseline}
        return {
            f"memory_{name}": Metric(value, "B", "lower", kind, method)
            for name, value in values.items()
        }


class HostMemory:
    """Resident memory of this process, by phase.

    Attributes:
        method: how the peaks are read; method_reason: why that way.
        raw: the highest number of resident bytes in each phase, baseline included.
    """

    def __init__(self) -> None:
        self._mark, self.method_reason = choose_high_water()
        self.method = self._mark.method
        trim()
        self._phases = _Phases(self._mark.resident())

    @property
    def raw(self) -> dict[str, int]:
        return self._phases.raw

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a block; its peak is kept also when it raises. A name may be used again."""
        self._phases.begin(name)
        trim()
        self._mark.start()
        try:
            yield
        finally:
            self._phases.end(name, self._mark.stop())

    def metrics(self) -> dict[str, Metric]:
        """memory_baseline, memory_<phase> in order, memory_peak (over the baseline), in bytes."""
        return self._phases.metrics("memory_physical", self.method)


class CudaMemory:
    """Memory of one CUDA device by phase, as torch's allocator counts it.

    Allocated is what the model needs and repeats exactly, so it stands under the same names as the
    host's. Reserved is what the allocator holds, and the device's own figure adds the CUDA context
    and libraries; both depend on more than the model.
    """

    method = "torch allocated_bytes.all.peak, reset per phase"
    method_reason = "the allocator's own counters are exact"

    def __init__(self, device: str = "cuda") -> None:
        import torch

        self._device = torch.device(device)
        self._settle()
        index = self._device.index
        self._index = torch.cuda.current_device() if index is None else index
        self._phases = _Phases(torch.cuda.memory_allocated(self._device))
        self._reserved = torch.cuda.memory_reserved(self._device)
        self._events = dict.fromkeys(_EVENTS, 0)
        self._used, self._used_reason = device_used_bytes(self._index)

    @property
    def raw(self) -> dict[str, int]:
        return self._phases.raw

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a block; its peak is kept also when it raises. A name may be used again."""
        import torch

        self._phases.begin(name)
        self._settle()
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_stats(self._device)
        try:
            yield
            torch.cuda.synchronize(self._device)
        finally:
            self._read(name, before)

    def metrics(self) -> dict[str, Metric]:
        """The phases' metrics, then cuda_allocated_peak, cuda_reserved_peak, cuda_alloc_retries,
        cuda_ooms (those that were caught too) and device_used_peak.
        """
        highest = self._phases.highest
        metrics = self._phases.metrics("deterministic", self.method)
        metrics["cuda_allocated_peak"] = Metric(highest, "B", "lower", "deterministic", self.method)
        metrics["cuda_reserved_peak"] = Metric(
            self._reserved, "B", "lower", "memory_physical", "torch reserved_bytes.all.peak"
        )
        for counter, named in _EVENTS.items():
            method = f"torch {counter}, over the phases"
            metrics[named] = Metric(self._events[counter], "1", "lower", "derived", method)
        metrics["device_used_peak"] = self._device_used()
        return metrics

    def _read(self, name: str, before: dict[str, int]) -> None:
        import torch

        stats = torch.cuda.memory_stats(self._device)
        self._phases.end(name, int(stats.get("allocated_bytes.all.peak", 0)))
        self._reserved = max(self._reserved, int(stats.get("reserved_bytes.all.peak", 0)))
        for counter in self._events:
            self._events[counter] += int(stats.get(counter, 0)) - int(before.get(counter, 0))
        used, self._used_reason = device_used_bytes(self._index)
        if used is not None:
            self._used = max(used, self._used or 0)

    def _device_used(self) -> Metric:
        method = "NVML memory in use at phase ends, whole device with other processes and contexts"
        if self._used is None:
            reason = self._used_reason or "NVML gave no reading"
            return not_measured(
                reason, unit="B", better="lower", kind="memory_physical", method=method
            )
        return Metric(self._used, "B", "lower", "memory_physical", method)

    def _settle(self) -> None:
        import torch

        torch.cuda.synchronize(self._device)
        gc.collect()
        torch.cuda.empty_cache()


def make_memory(device: str) -> HostMemory | CudaMemory:
    """The instrument for a device: "cpu", "cuda" or "cuda:<index>"."""
    if device == "cpu":
        return HostMemory()
    if device.startswith("cuda"):
        return CudaMemory(device)
    raise ValueError(f"device={device!r}: allowed are cpu, cuda and cuda:<index>")


def trim() -> None:
    """Collect garbage and hand freed heap back to the kernel, where the C library can (glibc)."""
    gc.collect()
    if sys.platform == "linux":
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if malloc_trim is not None:
            malloc_trim(0)
