"""High-water marks of this process's resident memory: the best one that this system offers.

Linux keeps the mark (VmHWM) and lets a process reset its own by writing 5 to /proc/self/clear_refs
(proc_pid_clear_refs(5)). macOS and Windows keep one that cannot be reset: it is exact when it rises
and hides anything lower. Elsewhere samples are taken each 10 ms, which can only miss peaks.
ru_maxrss is not used on Linux: a child inherits the figure of the process that started it. The
kernel counts pages per processor in batches, so with many cores a reading can be off by some MiB.
"""

from __future__ import annotations

import mmap
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_PROBE_BYTES = 8 * 2**20
SAMPLING_SECONDS = 0.010


class HighWater(Protocol):
    """A mark on this process's resident bytes."""

    method: str

    def resident(self) -> int:
        """Bytes resident now."""

    def start(self) -> None:
        """Begin a phase."""

    def stop(self) -> int:
        """End the phase: the highest number of resident bytes since start()."""


class ResettableMark:
    """VmHWM, reset at the start of a phase."""

    method = "VmHWM+clear_refs"

    def resident(self) -> int:
        return status_bytes("VmRSS")

    def start(self) -> None:
        _CLEAR_REFS.write_text("5")

    def stop(self) -> int:
        return status_bytes("VmHWM")


class SampledMark:
    """The largest of samples taken by a thread; Python code that holds the GIL can delay them."""

    method = "psutil sampling 10 ms (lower bound)"

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._peak = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def resident(self) -> int:
        return int(self._process.memory_info().rss)

    def start(self) -> None:
        self._peak = self.resident()
        self._ended.clear()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        assert self._thread is not None, "stop() belongs after start()"
        self._ended.set()
        self._thread.join()
        return max(self._peak, self.resident())

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLING_SECONDS):
            self._peak = max(self._peak, self.resident())


class RisingMark(SampledMark):
    """A mark that the system never lowers: exact where the phase raised it, samples where not."""

    def __init__(self, method: str, read: Callable[[], int]) -> None:
        super().__init__()
        self.method = f"{method}, psutil sampling 10 ms where it did not rise"
        self._read = read
        self._mark = 0

    def start(self) -> None:
        self._mark = self._read()
        super().start()

    def stop(self) -> int:
        sampled = super().stop()
        mark = self._read()
        return mark if mark > self._mark else sampled


def choose_high_water() -> tuple[HighWater, str]:
    """The best mark that works here, and the reason for the choice."""
    system: str = sys.platform
    if system == "linux":
        problem = _resetting_problem()
        if problem is None:
            return ResettableMark(), "the kernel's mark falls when it is reset and rises with use"
        return SampledMark(), problem
    if system == "darwin":
        return RisingMark("ru_maxrss (macOS)", _max_rss), "macOS keeps a mark without a reset"
    if system == "win32":
        return RisingMark("peak_wset (Windows)", _peak_wset), "Windows keeps a mark without a reset"
    return SampledMark(), f"no high-water mark is known on {system}"


def _resetting_problem() -> str | None:
    # Tried, not assumed: sandboxes offer the files and leave the mark where it was.
    mark = ResettableMark()
    try:
        _touch(_PROBE_BYTES)
        risen = mark.stop()
        mark.start()
        fallen = mark.stop()
        _touch(_PROBE_BYTES)
        again = mark.stop()
    except (OSError, ValueError, StopIteration) as error:
        return f"the kernel's mark can't be reset: {error!r}"
    if fallen > risen or again - fallen < 0.9 * _PROBE_BYTES:
        return "the kernel's mark does not follow 8 MiB that were used and returned"
    return None


def _touch(size: int) -> None:
    with mmap.mmap(-1, size) as memory:
        for page in range(0, size, mmap.PAGESIZE):
            memory[page] = 1


def status_bytes(field: str, pid: int | None = None) -> int:
    """Bytes of a field, such as VmHWM, of a process's status, this one's for None; Linux.

    Raises OSError where there is no such process, StopIteration where it has no such field.
    """
    status = _STATUS if pid is None else Path(f"/proc/{pid}/status")
    line = next(line for line in status.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _max_rss() -> int:
    # The module does not exist on Windows, and mypy reads the file for each platform.
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def _peak_wset() -> int:
    return int(getattr(psutil.Process().memory_info(), "peak_wset"))  # noqa: B009 (Windows only)
