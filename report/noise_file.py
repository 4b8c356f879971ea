"""A machine's noise floor as a file: what base against base differs by, written by an A/A run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure.record import is_number
from report.load import InputError, read_json
from report.margins import Noise

SCHEMA = "seqrec-bench/noise/2"
_OLDER = "seqrec-bench/noise/1"  # of pairs measured one after the other, wider than by turns
_WIDTHS = ("half_width", "between_files")


class OlderNoise(InputError):
    """What an earlier version kept says nothing of pairs by turns."""


def read_noise(path: Path) -> tuple[Noise, ...]:
    """The entries of a noise file; InputError where it is none, OlderNoise where it was one."""
    content = read_json(path)
    if isinstance(content, dict) and content.get("schema") == _OLDER:
        raise OlderNoise(
            path, f"of {_OLDER}, before pairs were measured by turns: --aa measures anew"
        )
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(path, f"not a noise floor; this version reads {SCHEMA}")
    entries = content.get("floors")
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        what = "floors: a list of cells, metric, half_width and between_files (0 or more)"
        raise InputError(path, what)
    machine = content.get("fingerprint")
    machine = machine if isinstance(machine, str) else ""
    return tuple(_entry(entry, machine) for entry in entries)


def noise_json(floors: Sequence[Noise], fingerprint: str) -> str:
    """What `read_noise` reads."""
    entries = [
        {name: value for name, value in asdict(floor).items() if name != "machine"}
        for floor in floors
    ]
    content = {"schema": SCHEMA, "fingerprint": fingerprint, "floors": entries}
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"


def keep_noise(path: Path, floors: Sequence[Noise], fingerprint: str) -> tuple[str, ...]:
    """Write the floors of a machine, beside those that the file has of other cells and metrics.
    What an earlier version kept is written over, and so is what another machine's noise was: the
    fingerprints of such.

    Raises:
        InputError: the file is there and is none. OSError: it can't be written.
    """
    try:
        before = read_noise(path) if path.exists() else ()
    except OlderNoise:
        before = ()
    others = sorted({floor.machine for floor in before} - {"", fingerprint})
    own = [floor for floor in before if floor.machine not in others]
    known = {(floor.cells, floor.metric): floor for floor in (*own, *floors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.tmp")
    half.write_text(noise_json(list(known.values()), fingerprint))
    os.replace(half, path)
    return tuple(others)


def _entry(entry: dict[str, Any], machine: str) -> Noise:
    """What a file without `by_turns` holds is of pairs by turns, where a metric has turns."""
    half_width, between_files = (float(entry[width]) for width in _WIDTHS)
    turns = bool(entry.get("by_turns", True))
    return Noise(entry["cells"], entry["metric"], half_width, between_files, turns, machine)


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    widths: list[Any] = [entry.get(name) for name in _WIDTHS]
    texts = all(isinstance(entry.get(name), str) for name in ("cells", "metric"))
    return texts and all(is_number(width) and width >= 0 for width in widths)
