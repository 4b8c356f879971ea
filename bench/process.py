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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

import psutil

from bench.findings import Findings
from bench.lifeline import VARIABLE
from bench.memory_limit import MemoryLimit, limited
from bench.out_of_memory import explain_death, says_out_of_memory
from bench.worker import CANNOT_WRITE, Request
from measure.allocator import keep_memory_environment
from measure.clock import now
from measure.record import Metric, Status

ROOT = Path(__file__).resolve().parent.parent
_LOG_TAIL = 4000
_END_SECONDS = 5.0
_LONGEST = 2e6  # 23 days: the system counts milliseconds in 31 bits


@dataclass(frozen=True)
class Place:
    """Where a worker finds the code, and the Python that runs it."""

    root: Path = ROOT
    python: Path = Path(sys.executable)


HERE = Place()


def run_worker(request: Request, *, timeout: float, place: Place = HERE) -> Findings:
    """The findings of one worker; its death, hang or silence becomes a status with a reason.

    Raises OSError where the findings could not be written: that is no result of the cell.

    Args:
        timeout: seconds after which it is ended.
    """
    request.out.unlink(missing_ok=True)
    host = request.cell.device == "cpu"
    with (
        tempfile.TemporaryFile() as log,
        tempfile.TemporaryFile() as stage,
        limited(request.memory_limit, host=host) as limit,
    ):
        request = replace(request, data_limit=limit.by_worker)
        if sys.platform != "win32":
            request = replace(request, stage_file=stage.fileno())
        findings = _run(request, place, limit, log, stage, timeout=timeout)
    findings.resolved["memory_limit"] = limit.bytes
    findings.resolved["memory_limit_by"] = limit.method
    if limit.reason:
        findings.resolved["memory_limit_reason"] = limit.reason
    return findings


def _run(
    request: Request,
    place: Place,
    limit: MemoryLimit,
    log: IO[bytes],
    stage: IO[bytes],
    *,
    timeout: float,
) -> Findings:
    started = now()
    kills_before = _out_of_memory_kills()
    process = subprocess.Popen(
        [str(place.python), "-m", "bench.worker"],
        cwd=place.root,
        env=worker_environment(request) | {"PYTHONPATH": str(place.root)},
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=() if request.stage_file is None else (request.stage_file,),
    )
    try:
        limit.join(process.pid)
        process.communicate(request.dumps().encode(), timeout=min(timeout, _LONGEST))
    except subprocess.TimeoutExpired:
        return _failed("timeout", f"not finished after {timeout:g} s", log)
    finally:
        _end(process)
    if process.returncode == 0 and request.out.exists():
        return _findings(json.loads(request.out.read_text()), started)
    killed = limit.kills() > 0 or _out_of_memory_kills() > kills_before
    return _death(process.returncode, log, stage, limit, killed_for_memory=killed)


def worker_environment(request: Request) -> dict[str, str]:
    """The parent's environment with what must be fixed before torch is imported."""
    keep = request.measuring == "time" and request.allocator == "kept"
    return fixed_environment(request.cell.threads, keep_memory=keep)


def fixed_environment(threads_allowed: int, *, keep_memory: bool) -> dict[str, str]:
    """The environment of any process that measures; the allocator keeps freed memory or not."""
    threads = str(threads_allowed)
    fixed = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "NUMBA_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        VARIABLE: str(os.getpid()),
    }
    if keep_memory:
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


def _death(
    code: int, log: IO[bytes], stage: IO[bytes], limit: MemoryLimit, *, killed_for_memory: bool
) -> Findings:
    """What is known of a worker that left no findings."""
    if code == CANNOT_WRITE:
        raise OSError(0, _tail(log).strip().rpartition("\n")[2])
    if code >= 0:
        reason = f"worker ended with exit code {code} and left no findings"
        return _failed("error", reason, log)
    name = signal.Signals(-code).name
    failed = _failed("error", f"worker died of {name}", log)
    last_words = failed.details or ""
    by_kernel = code == -signal.SIGKILL and killed_for_memory
    # LLVM and C++ abort where they are refused memory, with a word about it.
    if by_kernel or (code == -signal.SIGABRT and says_out_of_memory(last_words)):
        failed.status = "oom"
        failed.reason = f"killed {'by the kernel ' * by_kernel}for memory ({name})"
        stage.seek(0)
        failed.oom = explain_death(
            stage=stage.read(32).decode().strip() or None,
            limit=limit.bytes,
            peak=limit.peak(),
            signal=-code,
            last_words=last_words,
        )
    return failed


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
