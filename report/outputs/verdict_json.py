"""The whole report as JSON, after report/schemas/verdict-1.json; other programs read this one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from report.verdict import Comparison, Report

SCHEMA = "seqrec-bench/verdict/1"
SCHEMA_FILE = Path(__file__).resolve().parent.parent / "schemas" / "verdict-1.json"


def verdict_json(report: Report) -> str:
    """Sorted keys, no NaN, one trailing newline."""
    content = {
        "schema": SCHEMA,
        "headline": report.headline,
        "exit_code": report.exit_code,
        "counts": {str(verdict): count for verdict, count in report.counts().items()},
        "base": dataclasses.asdict(report.base),
        "head": dataclasses.asdict(report.head),
        "design": report.design,
        "noise": report.noise,
        "command": report.command,
        "strict": report.strict,
        "aa": report.aa,
        "notes": list(report.notes),
        "comparisons": [_comparison(comparison) for comparison in report.comparisons],
    }
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"


def _comparison(comparison: Comparison) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(comparison) if field.name != "pairs"]
    content = {name: getattr(comparison, name) for name in names}
    pairs = [dataclasses.asdict(pair) | {"flags": list(pair.flags)} for pair in comparison.pairs]
    lists = {name: getattr(comparison, name) for name in ("progress", "rounds")}
    content |= {name: None if found is None else list(found) for name, found in lists.items()}
    return content | {"verdict": str(comparison.verdict), "pairs": pairs}
