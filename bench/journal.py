"""The journal of a run: a folder under results/ with one file a finished cell, so that nothing is
lost.

    results/<run_id>/manifest.json  cells/<cell_id>.json  raw/<cell_id>.npz  weights/<cell_id>.pt

A run that was stopped is found again by its key (suite, cells, code, data, machine) and goes on; a
run that was finished, or whose code has changed, is left alone and a new one begins.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

if sys.platform != "win32":
    import fcntl

from bench.cell import Cell
from bench.files import write_whole
from measure.record import Record, RecordError, dumps, loads

SCHEMA = "seqrec-bench/run/1"
_CODE_FOLDERS = ("bench", "data", "measure", "models", "workloads")


class JournalError(RuntimeError):
    """The results folder can't be used; one line for the user."""


@dataclass
class Manifest:
    """What a run is; written when it begins and when it ends."""

    run_id: str
    key: str
    suite: str
    cells: list[str]
    argv: list[str]
    dataset_line: str
    commit: str | None
    machine: dict[str, Any]
    started: str
    ended: str | None = None
    state: str = "running"
    overhead: dict[str, float] | None = None
    schema: str = SCHEMA


class Journal:
    """One run's folder, held by one process from `open` to `close`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._held: IO[str] | None = None

    @classmethod
    def open(
        cls, results: Path, manifest: Manifest, *, fresh: bool, retry: bool = False
    ) -> Journal:
        """The newest run of the same key if it is unfinished (or `retry` is set), else a new one.

        Raises JournalError where nothing can be written, or where another start is writing.
        """
        old = None if fresh else _newest(results, manifest.key)
        if old is not None and old.manifest.state != "running" and not retry:
            old = None
        journal = old or cls(results / manifest.run_id, manifest)
        try:
            for name in ("cells", "raw", "weights"):
                (journal.folder / name).mkdir(parents=True, exist_ok=True)
            journal._lock()
            journal.manifest.state = "running"
            journal._write_manifest()
        except OSError as error:
            raise JournalError(f"can't write to {results}: {error.strerror}") from error
        return journal

    def path(self, kind: str, cell: Cell) -> Path:
        """Where the cell's file of that kind ("cells", "raw", "weights", "findings") is."""
        suffix = {"cells": ".json", "raw": ".npz", "weights": ".pt", "findings": ".part"}[kind]
        folder = "cells" if kind == "findings" else kind
        return self.folder / folder / (cell.cell_id + suffix)

    def read(self, cell: Cell) -> Record | None:
        """The finished cell's record, or None; a file that can't be read counts as not finished."""
        try:
            record = loads(self.path("cells", cell).read_bytes())
        except (OSError, RecordError):
            return None
        return record if record.key == cell.key else None

    def write(self, cell: Cell, record: Record, raw: dict[str, list[float]]) -> None:
        """Keep a finished cell: long samples first, then the record that makes it count."""
        try:
            if raw:
                arrays: dict[str, Any] = {name: np.asarray(values) for name, values in raw.items()}
                np.savez_compressed(self.path("raw", cell), **arrays)
            write_whole(self.path("cells", cell), dumps(record))
        except OSError as error:
            raise JournalError(f"can't write to {self.folder}: {error.strerror}") from error

    def finish(self, cells: list[Cell]) -> None:
        """Mark the run as complete when every cell has its record."""
        if all(self.path("cells", cell).exists() for cell in cells):
            self.manifest.state = "complete"
            self.manifest.ended = datetime.now(UTC).isoformat(timespec="seconds")
            self._write_manifest()

    def close(self) -> None:
        """Let another start have the folder."""
        if self._held is not None:
            self._held.close()

    def _lock(self) -> None:
        """Hold the folder until this process ends; two starts must not write into one run."""
        if sys.platform != "win32":
            self._held = (self.folder / "lock").open("w")
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                busy = f"{self.folder}: another start is writing to this run"
                raise JournalError(busy) from error

    def _write_manifest(self) -> None:
        content = json.dumps(asdict(self.manifest), indent=1, sort_keys=True) + "\n"
        write_whole(self.folder / "manifest.json", content)


def new_manifest(
    *,
    suite: str,
    cells: list[Cell],
    argv: list[str],
    dataset_line: str,
    data_hashes: dict[str, str],
    limits: dict[str, float | None],
    commit: str | None,
    machine: dict[str, Any],
    root: Path,
) -> Manifest:
    """A manifest whose key tells whether another run measured the same things in the same way."""
    parts = [
        suite,
        sorted(c.key for c in cells),
        data_hashes,
        limits,
        machine["fingerprint"],
        _code(root),
    ]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    now = datetime.now(UTC)
    return Manifest(
        run_id=f"{suite}-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{key[:6]}",
        key=key,
        suite=suite,
        cells=[cell.cell_id for cell in cells],
        argv=argv,
        dataset_line=dataset_line,
        commit=commit,
        machine=machine,
        started=now.isoformat(timespec="milliseconds"),
    )


def past_seconds(results: Path) -> dict[str, float]:
    """How long each cell key took in any run kept under `results`, for the estimate."""
    seconds: dict[str, float] = {}
    for path in sorted(results.glob("*/cells/*.json"), key=lambda p: p.stat().st_mtime):
        try:
            record = loads(path.read_bytes())
        except (OSError, RecordError):
            continue
        seconds[record.key] = record.wall_s
    return seconds


def require_writable(results: Path) -> None:
    """JournalError in one line where runs can't be kept there; leaves nothing behind."""
    existed = results.exists()
    try:
        results.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=".probe-", dir=results)).rmdir()
    except OSError as error:
        raise JournalError(f"can't write to {results}: {error.strerror}") from error
    if not existed:
        shutil.rmtree(results, ignore_errors=True)


def _newest(results: Path, key: str) -> Journal | None:
    """The run of that key that began last; one that `--fresh` left behind never comes back."""
    found = []
    for path in results.glob("*/manifest.json"):
        try:
            manifest = Manifest(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        if manifest.key == key:
            found.append(Journal(path.parent, manifest))
    return max(found, key=lambda journal: journal.manifest.started, default=None)


def _code(root: Path) -> str:
    """A hash of all code that a measured number depends on."""
    digest = hashlib.sha256()
    for folder in _CODE_FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
