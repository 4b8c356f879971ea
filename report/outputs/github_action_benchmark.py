"""For github-action-benchmark, tool `customSmallerIsBetter`: a list of name, unit, value, range.

https://github.com/benchmark-action/github-action-benchmark (its README): name, unit and value are
required, range and extra are texts. Metrics of which more is better are not in it: the tool would
call their growth a regression. It takes no empty list, which a head without a number gives.
"""

from __future__ import annotations

import json

from report.labels import one_line
from report.outputs.bencher import head_bounds
from report.verdict import Comparison, Report


def github_action_benchmark(report: Report) -> str:
    """The head's values of which less is better."""
    chosen = [c for c in report.comparisons if c.better == "lower" and c.head is not None]
    return json.dumps([_entry(c) for c in chosen], indent=1, allow_nan=False) + "\n"


def _entry(comparison: Comparison) -> dict[str, str | float]:
    assert comparison.head is not None, "only what the head has is written"
    name = one_line(f"{comparison.cell_id} {comparison.metric}", 400)
    entry: dict[str, str | float] = {"name": name, "unit": comparison.unit or "1"}
    entry["value"] = float(comparison.head)
    if ends := head_bounds(comparison):
        entry["range"] = f"± {(ends[1] - ends[0]) / 2:.3g}"
    entry["extra"] = one_line(f"{comparison.verdict}: {comparison.reason}", 200)
    return entry
