"""A machine's noise floor as a file: what base against base differs by, written by an A/A run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure.record import is_number
from report.load import InputError, read_json
from report.margins import Noise

SCHEMA = "seqrec-bench/noise/1"


def read_noise(path: Path) -> tuple[Noise, ...]:
    """The entries of a noise file; InputError where it is none."""
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(path, f"not a noise floor; this version reads {SCHEMA}")
    entries = content.get("floors")
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise InputError(path, "floors: a list of cells, metric and half_width (0 or more)")
    return tuple(Noise(e["cells"], e["metric"], float(e["half_width"])) for e in entries)


def noise_json(floors: Sequence[Noise], fingerprint: str) -> str:
    """What `read_noise` reads."""
    entries = [
        {"cells": floor.cells, "metric": floor.metric, "half_width": floor.half_width}
        for floor in floors
    ]
    content = {"schema": SCHEMA, "fingerprint": fingerprint, "floors": entries}
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"


def keep_noise(path: Path, floors: Sequence[Noise], fingerprint: str) -> None:
    """Write the floors of a machine, beside those that the file has of other cells and metrics.

    Raises:
        InputError: the file is there and is none. OSError: it can't be written.
    """
    before = read_noise(path) if path.exists() else ()
    known = {(floor.cells, floor.metric): floor for floor in (*before, *floors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.tmp")
    half.write_text(noise_json(list(known.values()), fingerprint))
    os.replace(half, path)


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    width: Any = entry.get("half_width")
    texts = all(isinstance(entry.get(name), str) for name in ("cells", "metric"))
    return is_number(width) and bool(width >= 0) and texts
