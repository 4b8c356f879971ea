"""Files in, runs out: reads the suite's pytest-benchmark JSON or a run folder.

Everything that report/ shows passes through `load_runs`, so what is wrong with a file is said
here, once, in one line that names the file, the fault and what is allowed. Two files stay two
runs: equal cells of different runs are never merged, they are told apart by the run's label.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure.record import Record, RecordError, from_dict
from report.labels import one_line

SCHEMA = "seqrec-bench/run/1"
MOST_BYTES = 2**29
ALLOWED = "allowed are the suite's own pytest-benchmark JSON or a run folder with manifest.json"


class InputError(ValueError):
    """A file that can't be read; the message is one line for the user."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{one_line(str(path))}: {one_line(fault, 300)}")


@dataclass(frozen=True)
class Run:
    """The records of one file or folder, and what is true of all of them.

    Args:
        label: tells this run from the others that were loaded with it.
        dataset_line: the suite's own sentence on which data were used and why, or "".
        argv: what pytest was given, without folders outside of the checkout; () where unknown.
    """

    path: Path
    label: str
    suite: str
    run_id: str
    dataset_line: str
    commit: str
    machine: dict[str, Any] = field(repr=False)
    records: tuple[Record, ...] = field(repr=False)
    argv: tuple[str, ...] = field(default=(), repr=False)


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """All runs in `paths`, in that order; InputError where one of them is not a run."""
    contents = [_read(path) for path in paths]
    names = [_text(content.get("run_id")) or path.stem for path, content in contents]
    labels = _distinct(names, [str(path) for path in paths])
    return [
        _run(path, label, content) for label, (path, content) in zip(labels, contents, strict=True)
    ]


def load_run(path: Path, parsed: Any = None) -> Run:
    """One run; `parsed` is the file's JSON where it has been read already."""
    _, content = _read(path, parsed)
    return _run(path, _text(content.get("run_id")) or path.stem, content)


def _read(path: Path, parsed: Any = None) -> tuple[Path, dict[str, Any]]:
    try:
        content = _read_folder(path) if path.is_dir() else _of_file(path, parsed or read_json(path))
    except OSError as error:
        raise InputError(path, f"{error.strerror or error}; {ALLOWED}") from error
    if content.get("schema") != SCHEMA:
        known = f"this version reads {SCHEMA}"
        raise InputError(path, f"schema {content.get('schema')!r} is not known; {known}")
    if not isinstance(content.get("records"), list):
        raise InputError(path, "no list of records; write it again with --benchmark-json")
    if not content["records"]:
        raise InputError(path, "no records; at least one finished cell is needed")
    return path, content


def _of_file(path: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(path, f"JSON, but not a benchmark result; {ALLOWED}")
    ours = content.get("seqrec_bench")
    if isinstance(ours, dict):
        return ours
    kind = "pytest-benchmark JSON of another suite" if "benchmarks" in content else "JSON"
    raise InputError(path, f"{kind} without the key 'seqrec_bench'; {ALLOWED}")


def _read_folder(path: Path) -> dict[str, Any]:
    manifest_path = path / "manifest.json"
    if not manifest_path.is_file():
        raise InputError(path, f"a folder without manifest.json; {ALLOWED}")
    manifest = read_json(manifest_path)
    if not isinstance(manifest, dict):
        raise InputError(manifest_path, "a manifest is a JSON object")
    cells = sorted((path / "cells").glob("*.json"))
    return manifest | {"records": [_record(cell, read_json(cell)) for cell in cells]}


def read_json(path: Path) -> Any:
    """The JSON in a file; InputError where it is none, too large, or holds a number that isn't."""
    try:
        size = path.stat().st_size
        content = path.read_bytes().decode("utf-8-sig") if size <= MOST_BYTES else ""
    except UnicodeDecodeError as error:
        raise InputError(path, f"not JSON: {error.reason} at {error.start}; {ALLOWED}") from error
    except OSError as error:
        raise InputError(path, f"{error.strerror or error}; {ALLOWED}") from error
    if size > MOST_BYTES:
        raise InputError(path, f"{size:,} bytes; allowed are {MOST_BYTES:,}")
    if not content or content.isspace():
        raise InputError(path, f"an empty file; {ALLOWED}")
    try:
        return json.loads(
            content, parse_constant=_refuse, parse_float=_finite, object_hook=_Compact().made
        )
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"not JSON, or cut short ({error}); {ALLOWED}") from error


class _Compact:
    """Makes a record of a record's JSON as soon as that is parsed, which takes less room than it;
    what is none stays as it is, for `_record` to say why. Neighbours of one machine share it.
    """

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def made(self, entry: dict[str, Any]) -> Any:
        if "cell_id" not in entry or "metrics" not in entry:
            return entry
        for name in ("machine", "data"):
            if self._last.get(name) != entry.get(name):
                self._last[name] = entry.get(name)
            elif name in entry:
                entry[name] = self._last[name]
        try:
            return from_dict(entry)
        except (RecordError, OverflowError):
            return entry


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if number - number == 0.0 else _refuse(digits)  # infinite: NaN


def _run(path: Path, label: str, content: dict[str, Any]) -> Run:
    machine = content.get("machine")
    return Run(
        path=path,
        label=label,
        suite=_text(content.get("suite")) or "unnamed",
        run_id=_text(content.get("run_id")) or path.stem,
        dataset_line=_text(content.get("dataset_line")),
        commit=_text(content.get("commit")) or "unknown",
        machine=machine if isinstance(machine, dict) else {},
        records=tuple(_record(path, entry) for entry in content["records"]),
        argv=_words(content.get("argv")),
    )


def _record(path: Path, entry: Any) -> Record:
    try:
        record = entry if isinstance(entry, Record) else from_dict(entry)
        _check(record)
    except (RecordError, OverflowError) as error:
        raise InputError(path, str(error)) from error
    return record


def _check(record: Record) -> None:
    """Refuse what would only fail later, in the middle of a figure."""
    for name in ("model", "workload"):
        if not isinstance(record.config.get(name), str):
            raise RecordError(f"cell {record.cell_id}: config.{name} is not a name")
    seq_len = record.config.get("seq_len")
    if not isinstance(seq_len, int) or isinstance(seq_len, bool) or seq_len < 1:
        raise RecordError(f"cell {record.cell_id}: config.seq_len is {seq_len!r}, not a length")


def _distinct(names: list[str], paths: list[str]) -> list[str]:
    """Run names where they differ, else paths, else numbered names."""
    for labels in (names, paths):
        shown = [one_line(label, 40) for label in labels]
        if len(set(shown)) == len(shown):
            return shown
    return [f"{place}: {one_line(name, 36)}" for place, name in enumerate(names, start=1)]


def _words(value: Any) -> tuple[str, ...]:
    words = value if isinstance(value, list) else []
    return tuple(one_line(word, 300) for word in words if isinstance(word, str))


def _text(value: Any) -> str:
    return one_line(value) if isinstance(value, str) else ""
