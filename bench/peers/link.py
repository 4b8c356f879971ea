"""The harness's end of a side: starts its process, asks, waits, ends it, and says why it failed."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.lifeline import VARIABLE
from bench.peers.privacy import without_paths
from bench.peers.serve import STARTED
from measure.allocator import keep_memory_environment
from measure.record import Status

ROOT = Path(__file__).resolve().parent.parent.parent
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class SideFailed(RuntimeError):
    """A side did not answer, or said why it can't; `status` is the row's."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


class Link:
    """One side's process. `ask("train", seconds=5)` gives its answer or raises SideFailed.

    Args:
        python: the interpreter of the side's environment.
        side: its module.
        folder: where it runs and may leave files.
        environment: variables beside the fixed ones.
        keep_memory: whether the allocator keeps freed memory, as for time; not when memory is
            measured.
    """

    def __init__(
        self,
        python: Path,
        side: str,
        folder: Path,
        *,
        threads: int,
        keep_memory: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = side.rsplit(".", 1)[-1]
        self._log = tempfile.TemporaryFile()
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [str(python), "-m", "bench.peers.serve", side],
            cwd=folder,
            env=side_environment(threads, keep_memory=keep_memory) | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, verb: str, *, timeout: float = 3600.0, **arguments: Any) -> dict[str, Any]:
        """The side's answer.

        Args:
            timeout: seconds after which the side is ended.
        """
        assert self._process.stdin is not None, "made with a pipe"
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"verb": verb} | arguments), file=self._process.stdin, flush=True)
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            self.end()
            raise SideFailed("timeout", f"{verb}: not finished after {timeout:g} s") from None
        if line is None:
            raise self._death(verb)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            reason = f"{self.name}, {verb}: {without_paths(answer['error'])}"
            raise SideFailed(answer["status"], reason)
        found: dict[str, Any] = answer["ok"]
        return found

    def end(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.end()

    def _listen(self) -> None:
        assert self._process.stdout is not None, "made with a pipe"
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _death(self, verb: str) -> SideFailed:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        last = f": {without_paths(lines[-1])}" if lines else ""
        return SideFailed("error", f"{self.name}, {verb}: the process ended by {how}{last}")


def side_environment(threads: int, *, keep_memory: bool) -> dict[str, str]:
    """The environment of a side, fixed before it imports anything."""
    fixed = dict.fromkeys(_THREADS, str(threads)) | {
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(ROOT),
        # RecBole loads its own checkpoints by pickle, transformers asks its hub for kernels.
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "HF_HUB_OFFLINE": "1",
        VARIABLE: str(os.getpid()),
        STARTED: repr(time.monotonic()),
    }
    if keep_memory:
        fixed |= keep_memory_environment()
    return dict(os.environ) | fixed
