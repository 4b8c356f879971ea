"""The journal of a run: a folder under results/ with one file a finished cell, so that nothing is
lost.

    results/<run_id>/manifest.json  cells/<cell_id>.json  raw/<cell_id>.npz  weights/<cell_id>.pt

A run that was stopped is found again by its key (suite, cells, code, data, machine, processors,
limits, versions) and goes on; a run that was finished, or whose code has changed, is left alone and
a new one begins.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.files import write_whole
from bench.findings import played_back
from bench.hold import HeldError, Hold
from bench.raw import write_raw
from data.log import in_one_line
from measure.record import Record, RecordError, dumps, loads

SCHEMA = "seqrec-bench/run/1"
# What numbers are computed by beside the project's own code.
_COMPUTING = ("torch", "numpy", "numba", "llvmlite", "triton", "mamba-ssm", "causal-conv1d")
_CODE_FOLDERS = ("bench", "data", "measure", "models", "workloads")


class JournalError(RuntimeError):
    """The results folder can't be used; one line for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(in_one_line(message))


@dataclass
class Manifest:
    """What a run is; written when it begins and when it ends.

    `number` counts the runs of one key: their order, also where the clock was set back.
    """

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
    number: int = 1
    order_seed: int = 0
    schema: str = SCHEMA


class Journal:
    """One run's folder, held by one process from `open` to `close`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.damaged: dict[str, str] = {}  # files that can't be used, and why
        self._hold: Hold | None = None

    @classmethod
    def open(
        cls, results: Path, manifest: Manifest, *, fresh: bool, retry: bool = False
    ) -> Journal:
        """The newest run of the same key if it is unfinished (or `retry` is set), else a new one.

        Raises JournalError where nothing can be written, or where another start is writing.
        """
        newest = _newest(results, manifest)
        old = None if fresh else newest
        if old is not None and old.manifest.state != "running" and not retry:
            old = None
        try:
            journal = old or cls(_new_folder(results, manifest), manifest)
            if old is None and newest is not None:
                journal.manifest.number = newest.manifest.number + 1
            for name in ("cells", "raw", "weights"):
                (journal.folder / name).mkdir(parents=True, exist_ok=True)
            journal._hold = Hold(journal.folder)
            journal._sweep()
            journal.manifest.state = "running"
            journal._write_manifest()
        except HeldError as error:
            raise JournalError(str(error)) from error
        except OSError as error:
            raise cannot_write(results, error) from error
        return journal

    def path(self, kind: str, cell: Cell) -> Path:
        """Where the cell's file of that kind ("cells", "raw", "weights", "findings") is."""
        suffix = {"cells": ".json", "raw": ".npz", "weights": ".pt", "findings": ".part"}[kind]
        folder = "cells" if kind == "findings" else kind
        return self.folder / folder / (cell.cell_id + suffix)

    def read(self, cell: Cell) -> Record | None:
        """The finished cell's record, or None; a file that can't be read counts as not finished,
        and is named in `damaged`.
        """
        path = self.path("cells", cell)
        try:
            record = loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, RecordError) as error:
            self.damaged[f"cells/{path.name}"] = one_line(error)
            return None
        if record.key != cell.key:
            return None
        if record.config != cell.to_dict() or not _has_samples(record):
            self.damaged[f"cells/{path.name}"] = "its parts do not fit each other"
            return None
        return record

    def write(self, cell: Cell, record: Record, raw: dict[str, list[float]]) -> None:
        """Keep a finished cell: long samples first, then the record that makes it count."""
        try:
            if raw:
                write_raw(self.path("raw", cell), raw)
            write_whole(self.path("cells", cell), dumps(record))
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def finish(self, cells: list[Cell]) -> None:
        """Mark the run as complete when every cell has its record; JournalError where it can't."""
        if all(self.path("cells", cell).exists() for cell in cells):
            self.manifest.state = "complete"
            self.manifest.ended = datetime.now(UTC).isoformat(timespec="seconds")
            try:
                self._write_manifest()
            except OSError as error:
                raise cannot_write(self.folder, error) from error

    def close(self) -> None:
        """Let another start have the folder."""
        if self._hold is not None:
            self._hold.release()

    def _sweep(self) -> None:
        """Remove what a killed start left half-written."""
        for pattern in ("*.tmp", "*/*.tmp", "cells/*.part"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

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
    limits: dict[str, float | str | tuple[int, ...] | None],
    commit: str | None,
    machine: dict[str, Any],
    root: Path,
    order_seed: int = 0,
) -> Manifest:
    """A manifest whose key tells whether another run measured the same things in the same way."""
    parts = [
        suite,
        sorted(c.key for c in cells),
        data_hashes,
        limits,
        machine["fingerprint"],
        computing(machine),
        order_seed,
        code_hash(root),
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
        order_seed=order_seed,
    )


def computing(machine: dict[str, Any]) -> dict[str, str]:
    """The versions, in full, of the packages that compute; a fingerprint has PyTorch's in part."""
    versions = machine.get("versions", {})
    return {name: versions[name] for name in _COMPUTING if name in versions}


def past_seconds(results: Path) -> dict[str, float]:
    """How long each cell key took in any run kept under `results`, for the estimate."""
    seconds: dict[str, tuple[float, float]] = {}  # key -> time of the file, seconds
    for path in results.glob("*/cells/*.json"):
        try:
            written, record = path.stat().st_mtime, loads(path.read_bytes())
        except (OSError, RecordError):
            continue
        seconds[record.key] = max(seconds.get(record.key, (0.0, 0.0)), (written, record.wall_s))
    return {key: wall_s for key, (_, wall_s) in seconds.items()}


def require_writable(results: Path) -> None:
    """JournalError in one line where runs can't be kept there; leaves nothing behind."""
    existed = results.exists()
    try:
        results.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=".probe-", dir=results)).rmdir()
    except OSError as error:
        raise cannot_write(results, error) from error
    if not existed:
        shutil.rmtree(results, ignore_errors=True)


def cannot_write(folder: Path, error: OSError) -> JournalError:
    """A full disk, a read-only folder and the like, in one line."""
    return JournalError(f"can't write to {folder}: {error.strerror or one_line(error)}")


def one_line(error: BaseException) -> str:
    """The first line of what an exception says, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _has_samples(record: Record) -> bool:
    """Whether a cell that ended well has the times that are played back of it."""
    return record.status != "ok" or bool(record.samples.get(played_back(record.config)))


def _newest(results: Path, wanted: Manifest) -> Journal | None:
    """The run of that key that began last; one that `--fresh` left behind never comes back.

    A run whose manifest is damaged is known by its folder's name, and goes on where there is no
    other: its cells say themselves what they are.
    """
    found, broken = [], []
    for path in sorted(results.glob("*/manifest.json")):
        try:
            manifest = _manifest(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            if path.parent.name.endswith(f"-{wanted.key[:6]}"):
                broken.append(Journal(path.parent, replace(wanted, run_id=path.parent.name)))
                broken[-1].damaged["manifest.json"] = one_line(error)
            continue
        if manifest.key == wanted.key:
            found.append(Journal(path.parent, manifest))
    return max(found or broken, key=lambda j: (j.manifest.number, j.manifest.started), default=None)


def _new_folder(results: Path, manifest: Manifest) -> Path:
    """A folder of its own, also where the clock was set back to the moment of an older run."""
    results.mkdir(parents=True, exist_ok=True)
    name, attempt = manifest.run_id, 1
    while True:
        try:
            (results / manifest.run_id).mkdir()
        except FileExistsError:
            attempt += 1
            manifest.run_id = f"{name}-{attempt}"
        else:
            return results / manifest.run_id


def _manifest(content: Any) -> Manifest:
    """The manifest in a parsed JSON file; ValueError or TypeError where it is none."""
    manifest = Manifest(**content)
    kinds = {"key": str, "started": str, "state": str, "run_id": str, "number": int}
    wrong = [name for name, kind in kinds.items() if type(getattr(manifest, name)) is not kind]
    if wrong or manifest.schema != SCHEMA:
        raise ValueError(f"{wrong[0] if wrong else 'schema'} is not what it must be")
    return manifest


def code_hash(root: Path) -> str:
    """A hash of all code that a measured number depends on."""
    digest = hashlib.sha256()
    for folder in _CODE_FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
