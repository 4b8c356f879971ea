"""Bencher Metric Format, for `bencher run --adapter json --file FILE`.

https://bencher.dev/docs/reference/bencher-metric-format: benchmark -> measure -> value and, where
they are known, its bounds. Values are the head's, in SI units and bytes.
"""

from __future__ import annotations

import json

from report.labels import one_line
from report.verdict import Comparison, Report

NAME, MEASURE = 1024, 64  # characters that Bencher takes


def bencher(report: Report) -> str:
    """All metrics that the head has."""
    content: dict[str, dict[str, dict[str, float]]] = {}
    for comparison in report.comparisons:
        if comparison.head is not None:
            measures = content.setdefault(one_line(comparison.cell_id, NAME), {})
            measures[one_line(comparison.metric, MEASURE)] = _metric(comparison)
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"


def _metric(comparison: Comparison) -> dict[str, float]:
    assert comparison.head is not None, "only what the head has is written"
    value, ends = float(comparison.head), head_bounds(comparison)
    if ends is None:
        return {"value": value}
    return {"value": value, "lower_value": ends[0], "upper_value": ends[1]}


def head_bounds(comparison: Comparison) -> tuple[float, float] | None:
    """Around the head, as far as the bounds of the change lie from the change."""
    head, change = comparison.head, comparison.change
    low, high = comparison.low, comparison.high
    if head is None or change is None or low is None or high is None:
        return None
    if comparison.absolute:
        return head + (low - change), head + (high - change)
    if change <= -1:
        return None
    # The ratios first: where the change has no bounds but itself, they are 1 and the head its own.
    return head * ((1 + low) / (1 + change)), head * ((1 + high) / (1 + change))
