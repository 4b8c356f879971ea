"""How each number was taken: every metric of the runs with its unit, direction and methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from report.facets import Cell
from report.labels import one_line

BETTER = {"lower": "lower is better", "higher": "higher is better", "none": "a fact"}
MOST_METHODS = 4


@dataclass(frozen=True)
class Method:
    """One metric: in which workloads, in which unit, and how it was obtained."""

    name: str
    unit: str
    better: str
    workloads: str
    methods: list[str]
    count: int


def methods(found: Sequence[Cell]) -> list[Method]:
    """All metrics by name; of many methods the first few."""
    seen: dict[str, dict[str, dict[str, None]]] = {}
    counts: dict[str, int] = {}
    for cell in found:
        for name, metric in cell.record.metrics.items():
            entry = seen.setdefault(name, {"unit": {}, "better": {}, "workload": {}, "method": {}})
            entry["unit"][metric.unit] = None
            entry["better"][BETTER[metric.better]] = None
            entry["workload"][cell.workload] = None
            if metric.value is not None:
                entry["method"][metric.method] = None
                counts[name] = counts.get(name, 0) + 1
    return [
        Method(
            one_line(name, 60),
            _joined(entry["unit"]),
            _joined(entry["better"]),
            _joined(entry["workload"]),
            [one_line(text, 300) for text in list(entry["method"])[:MOST_METHODS]],
            counts.get(name, 0),
        )
        for name, entry in sorted(seen.items())
    ]


def _joined(texts: dict[str, None]) -> str:
    return one_line(", ".join(texts), 120)
