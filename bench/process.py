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
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

import psutil

from bench.death import death, failed, out_of_memory_kills
from bench.findings import Findings
from bench.gate import BY_TURNS, CAN_WAIT, Gate
from bench.lifeline import VARIABLE
from bench.memory_limit import limited
from bench.worker import Request
from measure.allocator import keep_memory_environment
from measure.clock import now
from measure.device import PCI_ORDER
from measure.highwater import status_bytes
from measure.record import Metric

ROOT = Path(__file__).resolve().parent.parent
_END_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_SPIN_SECONDS = 0.25  # OpenMP of LLVM and of Intel spin for 0.2
_LONGEST = 2e6  # 23 days: the system counts milliseconds in 31 bits


@dataclass(frozen=True)
class Place:
    """Where a worker finds the code, and the Python that runs it."""

    root: Path = ROOT
    python: Path = Path(sys.executable)


HERE = Place()


class Worker:
    """A worker from its start to its end: it loads what it needs, sleeps at its gate, and measures
    when `findings` lets it on.

        with Worker(request, timeout=60) as first, Worker(other, timeout=60, beside=True) as second:
            second.load()       # nothing is measured beside the start of another
            first.findings()
            second.findings()

    Two that are to be compared `advance` by turns instead, a round each, until they have ended.

    Args:
        timeout: seconds that it may take, without those that it sleeps at its gate.
        beside: whether it starts beside another, so that its start takes no time of its own.
        paired: whether another is measured while it sleeps, which is no time of its own either.
    """

    def __init__(
        self,
        request: Request,
        *,
        timeout: float,
        place: Place = HERE,
        beside: bool = False,
        paired: bool = False,
    ) -> None:
        self._timeout = self._left = min(timeout, _LONGEST)
        self._beside, self._paired, self._loaded, self._late = beside, paired, False, False
        self._began, self._kills = now(), out_of_memory_kills()
        self._gone: float | None = None  # when it was seen to have ended in its turn
        self._worked = 0.0  # seconds of its turns
        with contextlib.ExitStack() as stack:
            self._log = stack.enter_context(tempfile.TemporaryFile())
            self._stage = stack.enter_context(tempfile.TemporaryFile())
            host = request.cell.device == "cpu"
            self._limit = stack.enter_context(limited(request.memory_limit, host=host))
            self._gate = stack.enter_context(Gate())
            self._request = replace(
                request,
                data_limit=self._limit.by_worker,
                stage_file=None if sys.platform == "win32" else self._stage.fileno(),
                bell=self._gate.bell,
            )
            request.out.unlink(missing_ok=True)
            stack.callback(_remove, request.out)
            self._process = self._start(place)
            stack.callback(end, self._process)
            if self._process.stdin is not None:
                stack.callback(_close, self._process.stdin)
            self._gate.shared()
            self._limit.join(self._process.pid)
            self._gate.tell(self._process.stdin, self._request.dumps())
            self._stack = stack.pop_all()

    def _start(self, place: Place) -> subprocess.Popen[bytes]:
        inherited = (self._request.stage_file, self._request.bell)
        return subprocess.Popen(
            [str(place.python), "-m", "bench.worker"],
            cwd=place.root,
            env=worker_environment(self._request) | {"PYTHONPATH": str(place.root)},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[fd for fd in inherited if fd is not None],
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def load(self) -> None:
        """Returns when it is at its gate, has ended, or has used up its time."""
        if CAN_WAIT and not self._loaded:
            self._sleep(self._timeout, until=lambda: self._gate.rang is not None)
            self._loaded = True
            rang = now() if self._gate.rang is None else self._gate.rang
            self._left = max(0.0, self._timeout - (rang - self._began))

    def advance(self) -> bool:
        """Let it on as far as its next round; whether it is there, and does not end without one.

        Its threads are asleep then, which spin for some 10 ms after their last work; where that
        can't be seen they are given a quarter of a second.
        """
        self.load()
        rang, let_on = self._gate.rang, now()
        self._gate.tell(self._process.stdin, BY_TURNS)
        self._sleep(self._left, until=lambda: self._gate.rang != rang)
        worked = now() - let_on
        self._worked += worked
        self._left = max(0.0, self._left - worked)
        if self._gate.rang == rang:
            self._gone = now()
            self._late = self._process.poll() is None
            if self._late:  # what hangs is not to work beside the other's rounds
                end(self._process)
            return False
        deadline = now() + _SPIN_SECONDS
        while _is_at_work(self._process.pid) and now() < deadline:
            time.sleep(0.001)
        return True

    def held(self) -> int:
        """The most bytes that it has held so far, or holds where its most isn't kept; 0 once it has
        ended.
        """
        with contextlib.suppress(OSError, StopIteration):
            return status_bytes("VmHWM", self._process.pid)
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def findings(self) -> Findings:
        """Let it on to its end, without further turns; what it found. Its death, hang or silence
        becomes a status with a reason.

        Raises OSError where the findings could not be written: that is no result of the cell.
        """
        self.load()
        if self._process.poll() is None:
            self._kills = out_of_memory_kills()
        let_on = now()
        self._gate.tell(self._process.stdin)
        self._sleep(self._left, until=lambda: False)
        ended = self._process.poll() is not None and not self._late
        end(self._process)
        try:
            found = self._found() if ended else self._overdue()
        finally:
            self._stack.close()
        found.phases = found.phases or {"lost": self._worked + now() - let_on}
        found.resolved["memory_limit"] = self._limit.bytes
        found.resolved["memory_limit_by"] = self._limit.method
        if self._limit.reason:
            found.resolved["memory_limit_reason"] = self._limit.reason
        return found

    def _sleep(self, seconds: float, *, until: Callable[[], bool]) -> None:
        """Until it has ended, or so long, or until what is asked about it is true."""
        deadline = now() + seconds
        while self._process.poll() is None and (left := deadline - now()) > 0 and not until():
            # Its end of the pipe closes with it, unless a process that it left behind has it too.
            if self._gate.sleep(min(left, _LOOK_SECONDS)) and not until():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(left)

    def _overdue(self) -> Findings:
        return failed("timeout", f"not finished after {self._timeout:g} s", self._log)

    def _found(self) -> Findings:
        if self._process.returncode == 0 and self._request.out.exists():
            return self._read(json.loads(self._request.out.read_text()))
        killed = self._limit.kills() > 0 or out_of_memory_kills() > self._kills
        code, log, stage = self._process.returncode, self._log, self._stage
        return death(code, log, stage, self._limit, killed_for_memory=killed)

    def _read(self, content: dict[str, Any]) -> Findings:
        known = {field.name: content[field.name] for field in fields(Findings)}
        metrics = {name: Metric(**entry) for name, entry in known.pop("metrics").items()}
        parts = known["phases"]
        if self._beside:
            # Of one that failed before its gate all is loading.
            before = known["loading"] or parts
            parts = {name: took - before.get(name, 0.0) for name, took in parts.items()}
        else:
            # The performance counter is the machine's: the worker's readings compare with ours.
            parts["interpreter"] = max(0.0, content["began"] - self._began)
        if self._beside or self._paired:
            parts.pop("gate", None)
        parts["exit"] = max(0.0, (self._gone or now()) - content["ended"])
        return Findings(metrics=metrics, **(known | {"phases": parts}))


def run_worker(request: Request, *, timeout: float, place: Place = HERE) -> Findings:
    """The findings of one worker that starts now: see `Worker`."""
    with Worker(request, timeout=timeout, place=place) as worker:
        return worker.findings()


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
    } | PCI_ORDER
    if keep_memory:
        fixed |= keep_memory_environment()
    return dict(os.environ) | fixed


def _is_at_work(pid: int) -> bool:
    """Whether any thread of the process wants a processor; True where that can't be told."""
    try:
        states = [
            task.read_text().rpartition(")")[2].split()[0]
            for task in Path(f"/proc/{pid}/task").glob("*/stat")
        ]
    except (OSError, IndexError):
        return True
    return "R" in states or not states


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # what it still held goes to nobody
        pipe.close()


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, its group and its descendants; nothing of a worker outlives its cell."""
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
