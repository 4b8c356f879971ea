"""What each cell measured at each commit, a line at a time, so that slow drift can be seen.

    history/<fingerprint>.jsonl    one line a cell and commit, appended and never rewritten

A machine has its own file: levels of different machines have nothing to do with each other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report.judge import EXACT
from report.labels import one_line
from report.load import InputError
from report.margins import Margins
from report.sides import CellResult, Results, load_results

SCHEMA = "seqrec-bench/history/1"


@dataclass(frozen=True)
class Point:
    """One metric of one cell at one commit."""

    commit: str
    started: str
    value: float


@dataclass(frozen=True)
class Series:
    """A metric of a cell from the first commit to the last, on one machine."""

    machine: str
    cell_id: str
    metric: str
    kind: str
    better: str
    unit: str
    points: tuple[Point, ...]


def append(path: Path, folder: Path, margins: Margins, *, allow_dirty: bool = False) -> int:
    """Add a result file or run folder to its machine's history; how many cells were new.

    Raises:
        InputError: it can't be read, has no commit, or was measured with changes beyond it.
    """
    results = load_results(path, margins.ignore)
    commit = results.side.commit
    if commit in ("", "unknown"):
        raise InputError(path, "has no commit, so that it has no place in a history")
    if commit.endswith("-dirty") and not allow_dirty:
        raise InputError(path, "was measured with changes beyond its commit; --allow-dirty adds it")
    fingerprint = results.side.fingerprint
    if not fingerprint.replace("-", "").isalnum():
        raise InputError(path, f"no machine of name {one_line(fingerprint, 60)!r}")
    target = folder / f"{fingerprint}.jsonl"
    known = {(line["commit"], line["started"], line["cell_id"]) for line in _lines(target)}
    new = [
        line
        for line in _of_results(results, margins)
        if (line["commit"], line["started"], line["cell_id"]) not in known
    ]
    _write(target, new)
    return len(new)


def read(folder: Path) -> list[Series]:
    """All series of all machines in the folder; InputError where a line is of no history."""
    found: dict[tuple[str, str, str], list[tuple[Point, dict[str, Any]]]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in _lines(path):
            for name, entry in line["values"].items():
                point = Point(line["commit"], line["started"], entry["value"])
                found.setdefault((path.stem, line["cell_id"], name), []).append((point, entry))
    return [
        Series(
            machine,
            cell_id,
            name,
            pairs[-1][1]["kind"],
            pairs[-1][1]["better"],
            pairs[-1][1]["unit"],
            tuple(sorted((point for point, _ in pairs), key=lambda point: point.started)),
        )
        for (machine, cell_id, name), pairs in sorted(found.items())
    ]


def _of_results(results: Results, margins: Margins) -> Iterator[dict[str, Any]]:
    for cell_id, cell in sorted(results.cells.items()):
        values = dict(_values(cell, margins))
        if cell.status == "ok" and values:
            yield {
                "schema": SCHEMA,
                "commit": results.side.commit,
                "started": results.side.started,
                "cell_id": cell_id,
                "values": values,
            }


def _values(cell: CellResult, margins: Margins) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is judged and can drift; what is counted is compared exactly at each commit."""
    for name, value in sorted(cell.values.items()):
        metric = value.metric
        gate = margins.policy(cell.cell_id, name, metric.kind).gate
        if gate != "off" and metric.kind not in EXACT and metric.value is not None:
            yield (
                name,
                {
                    "value": metric.value,
                    "unit": metric.unit,
                    "better": metric.better,
                    "kind": metric.kind,
                },
            )


def _write(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Append all lines by one write, on the disk before it is said to be there."""
    if not lines:
        return
    text = "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if file.tell() and not path.read_bytes().endswith(b"\n"):
                text = "\n" + text  # the last line was cut off by a power loss
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(path, f"can't be written: {error.strerror or error}") from error


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    """The lines of a history; one that was cut off is left out, one of another kind refused."""
    try:
        texts = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"can't be read: {error}") from error
    found = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not _is_line(line):
            raise InputError(path, f"line {number} is no {SCHEMA}")
        found.append(line)
    return found


def _is_line(line: Any) -> bool:
    return (
        isinstance(line, dict)
        and line.get("schema") == SCHEMA
        and all(isinstance(line.get(name), str) for name in ("commit", "started", "cell_id"))
        and isinstance(line.get("values"), dict)
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("value"), int | float)
            and all(isinstance(entry.get(name), str) for name in ("unit", "better", "kind"))
            for entry in line["values"].values()
        )
    )
