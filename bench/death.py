"""What is known of a worker that left no findings: how it ended, and its last words."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import IO

from bench.findings import Findings
from bench.memory_limit import MemoryLimit
from bench.out_of_memory import explain_death, says_out_of_memory
from bench.worker import CANNOT_WRITE
from measure.record import Status

_LOG_TAIL = 4000  # bytes


def death(
    code: int, log: IO[bytes], stage: IO[bytes], limit: MemoryLimit, *, killed_for_memory: bool
) -> Findings:
    """The findings of a worker with this exit code, negative for a signal.

    Args:
        log: what it printed. stage: where it noted what it was doing.
        killed_for_memory: whether the kernel has killed a process for memory since it began.

    Raises:
        OSError: it could not write what it found, which says nothing about the cell.
    """
    if code == CANNOT_WRITE:
        raise OSError(0, _tail(log).strip().rpartition("\n")[2])
    if code >= 0:
        reason = f"worker ended with exit code {code} and left no findings"
        return failed("error", reason, log)
    name = signal.Signals(-code).name
    found = failed("error", f"worker died of {name}", log)
    last_words = found.details or ""
    by_kernel = code == -signal.SIGKILL and killed_for_memory
    # LLVM and C++ abort where they are refused memory, with a word about it.
    if by_kernel or (code == -signal.SIGABRT and says_out_of_memory(last_words)):
        found.status = "oom"
        found.reason = f"killed {'by the kernel ' * by_kernel}for memory ({name})"
        stage.seek(0)
        found.oom = explain_death(
            stage=stage.read(32).decode().strip() or None,
            limit=limit.bytes,
            peak=limit.peak(),
            signal=-code,
            last_words=last_words,
        )
    return found


def failed(status: Status, reason: str, log: IO[bytes]) -> Findings:
    """Findings that say why there are none."""
    return Findings(status=status, reason=reason, details=_tail(log))


def _tail(log: IO[bytes]) -> str:
    """The end of what the worker printed."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
    return log.read().decode(errors="replace")


def out_of_memory_kills() -> int:
    """How often the kernel has killed for memory, on this machine or in this container; 0 if
    unknown.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
