"""A real run of the suite in a process of its own: its cells, its workers, and how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from measure.record import Record, loads

ROOT = Path(__file__).resolve().parent.parent.parent
# The cheapest real work: four cells, six workers.
CELLS = ("--suite=smoke", "--model=gru4rec", "--workload=fit,load", "--seeds=0,1", "--threads=1")
FEW = ("--suite=smoke", "--model=gru4rec", "--workload=fit", "--seeds=0,1", "--threads=1")
_PATIENCE = 600.0


class Failure(AssertionError):
    """What must not happen has happened."""


def require(truth: object, what: str) -> None:
    if not truth:
        raise Failure(what)


def _as_from_a_terminal(before: Callable[[], None] | None) -> None:
    """Ctrl-C is heard, which a shell has its background jobs ignore, and all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if before is not None:
        before()


class Start:
    """One start of the suite on `folder / "results"`."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        cells: tuple[str, ...] = CELLS,
        before: Callable[[], None] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "pytest", "bench/", f"--results-dir={folder / 'results'}"]
        self._log = tempfile.TemporaryFile()  # never on the disk that is filled
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "-p", "no:cacheprovider", *cells, *arguments],
            cwd=ROOT,
            env=dict(os.environ) | {"SEQREC_CACHE": str(folder / "cache")},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: _as_from_a_terminal(before),
        )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def workers(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.Error:
            return []

    def next_worker(self) -> psutil.Process | None:
        """The worker that is at work now, or the next one; None where the run ends before."""
        while self.alive:
            if found := self.workers():
                return found[0]
            time.sleep(0.01)
        return None

    def end(self) -> str:
        """Wait for the end; what was printed. No end of a run shows a traceback."""
        self.process.wait(_PATIENCE)
        self._log.seek(0)
        out = self._log.read().decode(errors="replace")
        self._log.close()
        for sign in ("Traceback", "INTERNALERROR"):
            require(sign not in out, f"a traceback was printed:\n{out}")
        return out


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything that is kept of the cells that ended well: records, samples, weights."""
    kept = {}
    for path in sorted((folder / "results").glob("*/cells/*.json")):
        content = path.read_bytes()
        record = loads(content)  # which says that it is whole
        if record.status != "ok" or _lost_its_memory(record):
            continue
        kept[str(path.relative_to(folder))] = content
        for kind in ("raw", "weights"):
            for beside in path.parent.parent.joinpath(kind).glob(f"{path.stem}.*"):
                if beside.suffix != ".tmp":
                    kept[str(beside.relative_to(folder))] = beside.read_bytes()
    return kept


def _lost_its_memory(record: Record) -> bool:
    """Whether the second worker of a cell was killed: such a cell is measured again."""
    lost = record.metrics.get("memory_peak")
    return lost is not None and lost.value is None


def records_of(folder: Path) -> dict[str, Record]:
    paths = sorted((folder / "results").glob("*/cells/*.json"))
    return {path.stem: loads(path.read_bytes()) for path in paths}


def meaning(folder: Path) -> dict[str, Any]:
    """All of a run's cells that two runs must have in common: everything but times and memory."""
    return {
        cell_id: {
            "key": record.key,
            "config": record.config,
            "status": record.status,
            "data": {**record.data, "store": None},
            "metrics": sorted(record.metrics),
            "samples": {name: len(values) for name, values in record.samples.items()},
            "values": {
                name: metric.value
                for name, metric in record.metrics.items()
                if metric.kind in ("deterministic", "accuracy")
            },
        }
        for cell_id, record in records_of(folder).items()
    }
