"""The next event of a user, served three ways: a recurrent state of one size, a key/value cache
that grows with L, or the whole history computed again.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.draw import curve, over_lengths, positive
from report.facets import Cell, cells
from report.fitted import fit_notes, paint_fits
from report.labels import time_unit
from report.load import Run
from report.palette import styled
from report.series import Line, Panel, panels
from report.sheet import Handle, style_handle

P50 = "latency_p50"
CACHE = "kv_cache"


@styled
def step_latency(runs: Sequence[Run]) -> Figure | None:
    """Median latency of one new event over L, a line style for each way."""
    stepped, again = cells(runs, "serve_step"), one_user(runs)
    found, recomputed = panels(stepped), panels(again)

    def paint(ax: Axes, panel: Panel, size: float) -> list[float]:
        paint_fits(ax, panel, P50, size=size)
        drawn = []
        for line in panel.lines:
            state = positive(line, P50)
            curve(ax, line, state, size=size, linestyle="--" if _cached(line) else "-")
            drawn += [bound for point in state for bound in (point.low, point.high)]
        for other in (other for other in recomputed if other.facets == panel.facets):
            for line in other.lines:
                full = positive(line, P50)
                curve(ax, line, full, size=size, linestyle=":", markersize=4.5, suffix=" recompute")
                drawn += [bound for point in full for bound in (point.low, point.high)]
        return drawn

    return over_lengths(
        "Serving: one new event, median latency",
        found,
        P50,
        label="latency p50",
        unit=time_unit,
        paint=paint,
        handles=_handles(found),
        legend=[*found, *recomputed],
        notes=fit_notes(found, P50),
        used=[*stepped, *again],
    )


def one_user(runs: Sequence[Run]) -> list[Cell]:
    """The recommend cells that serve one user at a time."""
    return [cell for cell in cells(runs, "recommend") if cell.record.config.get("batch_size") == 1]


def _handles(found: Sequence[Panel]) -> list[Handle]:
    cached = {_cached(line) for panel in found for line in panel.lines if line.points(P50)}
    ways = [("recurrent state" if True in cached else "one step of a kept state", "-")]
    ways += [("key/value cache", "--")] * (True in cached) + [("recompute", ":")]
    return [style_handle(label, linestyle) for label, linestyle in ways]


def _cached(line: Line) -> bool:
    """Whether its records say that a step goes on from a cache; older ones say nothing."""
    return any(
        cell.record.resolved.get("serving") == CACHE
        for group in line.cells.values()
        for cell in group
    )
