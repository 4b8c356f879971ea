"""A worker's life: started fresh with its environment fixed, ended with its children, its end
explained.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import psutil

from bench.findings import Findings
from bench.lifeline import VARIABLE
from bench.worker import CANNOT_WRITE, Request
from measure.allocator import keep_memory_environment
from measure.clock import now
from measure.record import Metric, Status

ROOT = Path(__file__).resolve().parent.parent
_LOG_TAIL = 4000
_END_SECONDS = 5.0


def run_worker(request: Request, *, timeout: float) -> Findings:
    """The findings of one worker; its death, hang or silence becomes a status with a reason.

    Raises OSError where the findings could not be written: that is no result of the cell.

    Args:
        timeout: seconds after which it is ended.
    """
    request.out.unlink(missing_ok=True)
    started = now()
    kills_before = _out_of_memory_kills()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            cwd=ROOT,
            env=worker_environment(request),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.communicate(request.dumps().encode(), timeout=timeout)
        except subprocess.TimeoutExpired:
            return _failed("timeout", f"not finished after {timeout:g} s", log)
        finally:
            _end(process)
        killed = _out_of_memory_kills() > kills_before
        return _read(
            request.out, process.returncode, log, started=started, killed_for_memory=killed
        )


def worker_environment(request: Request) -> dict[str, str]:
    """The parent's environment with what must be fixed before torch is imported."""
    threads = str(request.cell.threads)
    fixed = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "NUMBA_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(ROOT),
        VARIABLE: str(os.getpid()),
    }
    if request.measuring == "time":
        fixed |= keep_memory_environment()
    return dict(os.environ) | fixed


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the worker, its process group and its descendants; nothing of it outlives its cell."""
    # Those that left the group; known only while the worker still lives.
    descendants = _descendants(process.pid) if process.poll() is None else []
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for descendant in descendants:
        with contextlib.suppress(psutil.Error):
            descendant.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel, beyond any signal
        process.wait(_END_SECONDS)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _read(
    out: Path, code: int, log: IO[bytes], *, started: float, killed_for_memory: bool
) -> Findings:
    if code == 0 and out.exists():
        return _findings(json.loads(out.read_text()), started)
    if code == CANNOT_WRITE:
        raise OSError(0, _tail(log).strip().rpartition("\n")[2])
    if code == -signal.SIGKILL and killed_for_memory:
        return _failed("oom", "killed by the kernel for memory (SIGKILL)", log)
    if code < 0:
        return _failed("error", f"worker died of {signal.Signals(-code).name}", log)
    return _failed("error", f"worker ended with exit code {code} and left no findings", log)


def _findings(content: dict[str, Any], started: float) -> Findings:
    known = {field.name: content[field.name] for field in fields(Findings)}
    metrics = {name: Metric(**entry) for name, entry in known.pop("metrics").items()}
    # The performance counter is the machine's, so the worker's readings compare with ours.
    known["phases"] |= {
        "interpreter": max(0.0, content["began"] - started),
        "exit": max(0.0, now() - content["ended"]),
    }
    return Findings(metrics=metrics, **known)


def _failed(status: Status, reason: str, log: IO[bytes]) -> Findings:
    return Findings(status=status, reason=reason, details=_tail(log))


def _tail(log: IO[bytes]) -> str:
    """The end of what the worker printed."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
    return log.read().decode(errors="replace")


def _out_of_memory_kills() -> int:
    """How often the kernel has killed for memory, on this machine or in this container; 0 if
    unknown.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
