"""How one cell's verdicts were reached, with every pair: `--explain CELL`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from report.amounts import amount, change, margin, verdict
from report.labels import one_line
from report.verdict import Comparison, Pair, Report


def explain(report: Report, cell_id: str) -> list[str]:
    """Lines for the terminal; empty where the report has no such cell."""
    found = [c for c in report.comparisons if c.cell_id == cell_id]
    lines = [line for comparison in found for line in _lines(comparison)]
    return [f"{one_line(cell_id, 200)}: {report.design}", *lines] if found else []


def _lines(comparison: Comparison) -> Iterator[str]:
    yield ""
    yield f"{comparison.metric} ({comparison.kind}, {comparison.gate}): {verdict(comparison)}"
    yield f"  because {one_line(comparison.reason, 300)}"
    base, head = (amount(x, comparison.unit) for x in (comparison.base, comparison.head))
    yield f"  base {base}, head {head}, change {change(comparison)}, margin {margin(comparison)}"
    if comparison.method:
        sure = f", each bound at {comparison.alpha * 100:g}%" if comparison.alpha else ""
        yield f"  by {comparison.method}{sure}; stage: {comparison.stage}"
    for place, pair in enumerate(comparison.pairs, start=1):
        yield f"  {place:>3}  {_pair(pair, comparison)}"
    if comparison.decide:
        yield f"  to decide: {comparison.decide}"


def _pair(pair: Pair, comparison: Comparison) -> str:
    shown = f"{amount(pair.base, comparison.unit)} -> {amount(pair.head, comparison.unit)}"
    if pair.ratio is not None and pair.ratio > 0:
        shown += f"  ln ratio {math.log(pair.ratio):+.4f}"
    if pair.by_turns is not None:
        shown += " by turns"
    seed = "" if pair.seed is None else f"  seed {pair.seed}"
    return shown + seed + "".join(f"  {flag}" for flag in pair.flags)
