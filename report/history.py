"""What each cell measured at each commit, a line at a time, so that slow drift can be seen.

    history/<fingerprint_name>.jsonl    one line a cell and commit, appended and never rewritten

A machine has its own file: levels of different machines have nothing to do with each other. It is
that of the records, not of their run, which may have more processors than its workers. What was
measured under unlike conditions (report/conditions.py) is not one series either.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report.conditions import conditions_of, identity, told_apart
from report.judge import EXACT
from report.labels import one_line
from report.load import InputError
from report.margins import KINDS, Margins
from report.sides import CellResult, Results, load_results

SCHEMA = "seqrec-bench/history/1"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")  # of a machine, and so of a file


@dataclass(frozen=True)
class Point:
    """One metric of one cell at one commit."""

    commit: str
    started: str
    value: float


@dataclass(frozen=True)
class Series:
    """A metric of a cell from the first commit to the last, on one machine under one set of
    conditions.

    Args:
        under: the conditions that tell it from others of the cell, in words; "" where it is alone.
    """

    machine: str
    cell_id: str
    metric: str
    kind: str
    better: str
    unit: str
    points: tuple[Point, ...]
    under: str = ""

    @property
    def title(self) -> str:
        """The cell, and what tells this series from others of it."""
        return f"{self.cell_id} ({self.under})" if self.under else self.cell_id


def append(path: Path, folder: Path, margins: Margins, *, allow_dirty: bool = False) -> int:
    """Add a result file or run folder to its machines' histories; how many cells were new.

    Raises:
        InputError: it can't be read, has no commit, or was measured with changes beyond it.
    """
    results = load_results(path, margins.ignore)
    commit = results.side.commit
    if commit in ("", "unknown"):
        raise InputError(path, "has no commit, so that it has no place in a history")
    if commit.endswith("-dirty") and not allow_dirty:
        raise InputError(path, "was measured with changes beyond its commit; --allow-dirty adds it")
    of_machine: dict[str, list[dict[str, Any]]] = {}
    for machine, line in _of_results(results, margins):
        if not NAME.fullmatch(machine):
            raise InputError(path, f"no machine of name {one_line(machine, 60)!r}")
        of_machine.setdefault(machine, []).append(line)
    count = 0
    for machine, lines in sorted(of_machine.items()):
        target = folder / f"{machine}.jsonl"
        known = {_key(line) for line in _lines(target)[0]}
        new = [line for line in lines if _key(line) not in known]
        _write(target, new)
        count += len(new)
    return count


def read(folder: Path) -> tuple[list[Series], list[str]]:
    """All series of all machines in the folder, and a warning for each line that was cut off.

    InputError where a line is of no history.
    """
    found: dict[tuple[str, str, str, str], list[tuple[Point, dict[str, Any]]]] = {}
    words: dict[tuple[str, str], dict[str, str]] = {}
    warnings: list[str] = []
    for path in sorted(folder.glob("*.jsonl")):
        lines, cut_off = _lines(path)
        warnings += [f"{path}: line {at} was cut off and is left out" for at in cut_off]
        of_cell: dict[str, list[dict[str, Any]]] = {}
        # Two that append at once may both add the same.
        for line in {_key(line): line for line in lines}.values():
            of_cell.setdefault(line["cell_id"], []).append(line)
            kind = identity(line)
            for name, entry in line["values"].items():
                point = Point(line["commit"], line["started"], entry["value"])
                key = (path.stem, line["cell_id"], name, kind)
                found.setdefault(key, []).append((point, entry))
        words |= {(path.stem, cell_id): told_apart(own) for cell_id, own in of_cell.items()}
    series = [
        Series(
            machine,
            cell_id,
            name,
            pairs[-1][1]["kind"],
            pairs[-1][1]["better"],
            pairs[-1][1]["unit"],
            tuple(sorted((point for point, _ in pairs), key=lambda point: point.started)),
            words[machine, cell_id][kind],
        )
        for (machine, cell_id, name, kind), pairs in sorted(found.items())
    ]
    return series, warnings


def _key(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["commit"], line["started"], line["cell_id"]


def _of_results(results: Results, margins: Margins) -> Iterator[tuple[str, dict[str, Any]]]:
    """The machine's name and the line of each cell that ran."""
    for cell_id, cell in sorted(results.cells.items()):
        values = dict(_values(cell, margins))
        if cell.status == "ok" and values:
            line = {
                "schema": SCHEMA,
                "commit": results.side.commit,
                "started": results.side.started,
                "cell_id": cell_id,
                "values": values,
            }
            yield cell.machine_name, line | conditions_of(cell)


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
        with path.open("ab", buffering=0) as file:
            if file.tell() and not path.read_bytes().endswith(b"\n"):
                text = "\n" + text  # the last line was cut off by a power loss
            whole = file.write(text.encode()) == len(text.encode())
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(path, f"can't be written: {error.strerror or error}") from error
    if not whole:
        raise InputError(path, "can't be written to the end: the disk is full")


def _lines(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The lines of a history, and the numbers of those cut off; one of another kind is refused."""
    try:
        texts = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"can't be read: {error}") from error
    found: list[dict[str, Any]] = []
    cut_off = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            cut_off.append(number)
            continue
        if not _is_line(line):
            raise InputError(path, f"line {number} is no {SCHEMA}")
        found.append(line)
    return found, cut_off


def _is_line(line: Any) -> bool:
    return (
        isinstance(line, dict)
        and line.get("schema") == SCHEMA
        and all(isinstance(line.get(name), str) for name in ("commit", "started", "cell_id"))
        and isinstance(line.get("values"), dict)
        and all(_is_entry(entry) for entry in line["values"].values())
    )


def _is_entry(entry: Any) -> bool:
    value = entry.get("value") if isinstance(entry, dict) else None
    return (
        isinstance(value, int | float)
        and abs(value) < 1e300  # nor NaN
        and all(isinstance(entry.get(name), str) for name in ("unit", "better", "kind"))
        and entry["kind"] in KINDS
    )
