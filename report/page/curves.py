"""A metric over L as the page uses it: what was measured, the fit through it, and the gaps.

Charts draw it and the chooser answers from it, so that both say the same. A fit is sent to the
page as a grid of its own predictions: nothing is fitted, and nothing extrapolated, in a browser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from report.disturbed import disturbances
from report.facets import Cell
from report.labels import lengths, one_line
from report.scaling import NotFitted, Scaling, fit_scaling
from report.series import Gap, Line

# Between two points of the grid a fit is a straight line on both logarithmic axes, within 0.1%.
GRID = 33
# Kinds of metrics that others on the same processors change.
TIMED = ("time", "tail")


@dataclass(frozen=True)
class Measured:
    """The typical value at L with its bounds, SI units; `n` records or samples are behind it."""

    seq_len: int
    value: float
    low: float
    high: float
    n: int
    extrapolated: bool


@dataclass(frozen=True)
class Curve:
    """One model's metric over L; `refused` says why there is no fit, "" where there is one."""

    line: Line
    points: list[Measured]
    gaps: list[Gap]
    fit: Scaling | None
    refused: str
    metric: str

    def to_json(self) -> dict[str, Any]:
        """Columns of numbers: measured points, the grid of the fit, gaps with their reasons."""
        return {
            "at": [point.seq_len for point in self.points],
            "value": [short(point.value) for point in self.points],
            "low": [short(point.low) for point in self.points],
            "high": [short(point.high) for point in self.points],
            "fit": None if self.fit is None else grid(self.fit),
            "refused": self.refused,
            "disturbed": [[p.seq_len, text] for p in self.points if (text := self._disturbed(p))],
            "gaps": [[gap.seq_len, gap.status, one_line(gap.reason, 160)] for gap in self.gaps],
        }

    def _disturbed(self, point: Measured) -> str:
        """What disturbed the point's cells, "" where nothing did or it does not matter."""
        group = [
            cell.record
            for cell in self.line.cells[point.seq_len]
            if cell.ok and (entry := cell.record.metrics.get(self.metric)) and entry.kind in TIMED
        ]
        return " and ".join(disturbances(group))


def curve_of(line: Line, metric: str, *, fitted: bool = True) -> Curve:
    """The line's `metric` with a fit through every record's value, where `fitted` asks for one."""
    points = [_measured(seq_len, group, metric) for seq_len, group in sorted(line.cells.items())]
    known = [point for point in points if point is not None]
    fit: Scaling | NotFitted | None = None
    if fitted and known:
        groups = sorted(line.cells.items())
        fit = fit_scaling([at for at, _ in groups], [_values(group, metric) for _, group in groups])
    refused = fit.reason if isinstance(fit, NotFitted) else ""
    fit = fit if isinstance(fit, Scaling) else None
    return Curve(line, known, line.gaps(metric), fit, refused, metric)


def grid(fit: Scaling) -> dict[str, list[float]]:
    """The fit on lengths from its shortest to its longest, evenly spaced in their logarithm."""
    at = np.geomspace(fit.shortest, fit.longest, GRID).clip(fit.shortest, fit.longest)
    bounds = [fit.bounds(seq_len) for seq_len in at]
    return {
        "at": [short(seq_len) for seq_len in at],
        "value": [short(value) for value in fit.values(at)],
        "low": [short(low) for low, _ in bounds],
        "high": [short(high) for _, high in bounds],
    }


def refusals(curves: Sequence[Curve]) -> list[str]:
    """Why lines have no fit, a sentence for each reason."""
    at: dict[str, list[str]] = {}
    for curve in curves:
        if curve.refused:
            at.setdefault(curve.refused, []).append(curve.line.label)
    return [f"No fit for {', '.join(labels)}: {reason}" for reason, labels in at.items()]


def measured_at(curve: Curve) -> str:
    """ "L=50, 100, 200", the lengths with a value."""
    return lengths([point.seq_len for point in curve.points])


def short(value: float) -> float:
    """Five significant digits: what a page shows, and a third of a file's size."""
    return float(f"{value:.5g}") if math.isfinite(value) else 0.0


def _values(group: Sequence[Cell], metric: str) -> list[float]:
    found = [cell.record.value(metric) for cell in group if cell.ok]
    return [value for value in found if value is not None and value > 0]


def _measured(seq_len: int, group: Sequence[Cell], metric: str) -> Measured | None:
    """Several records: their range. One: the bounds it names, else the range of its rounds."""
    line = Line("", "", {seq_len: list(group)})
    points = line.points(metric)
    if not points:
        return None
    point = points[0]
    low, high, n = point.low, point.high, point.n
    if n == 1:
        record = next(c.record for c in group if c.ok and c.record.value(metric) is not None)
        entry, rounds = record.metrics[metric], record.samples.get(metric) or [point.value]
        low = entry.lo if entry.lo is not None else min(*rounds, point.value)
        high = entry.hi if entry.hi is not None else max(*rounds, point.value)
        n = entry.n or 1
    return Measured(seq_len, point.value, low, high, n, point.extrapolated)
