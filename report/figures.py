"""The figures, by name: each takes the runs and gives one, or None where nothing was measured.

`FIGURES` is all that the command line knows; a new figure is one function and one entry. The
curves over L are here; the others are in files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.accuracy import accuracy_latency, accuracy_time, learning
from report.draw import curve, over_lengths, positive
from report.facets import cells
from report.fitted import fit_notes, paint_fits
from report.front import pareto
from report.labels import byte_unit, time_unit
from report.load import Run
from report.notes import absent_notes
from report.palette import styled
from report.peak import PEAK, with_peak
from report.phases import memory_phases
from report.roofline import roofline
from report.series import Panel, Point, panels
from report.serving import one_user, step_latency
from report.sheet import style_handle
from report.tails import tails
from report.time_parts import time_parts

P50, P95 = "latency_p50", "latency_p95"


@styled
def epoch_time(runs: Sequence[Run]) -> Figure | None:
    """Seconds of one training epoch over L."""
    found = panels(cells(runs, "train_epoch"))
    return over_lengths(
        "Training: time of one epoch",
        found,
        "epoch_time",
        label="epoch time",
        unit=time_unit,
        paint=_paint("epoch_time"),
        notes=fit_notes(found, "epoch_time"),
    )


@styled
def memory(runs: Sequence[Run]) -> Figure | None:
    """Peak memory of training over L: allocated on the device where there is one, else host."""
    trained = [with_peak(cell) for cell in cells(runs, "train_epoch")]
    on_cpu = {cell.facets["device"] == "cpu" for cell in trained}
    found = panels(trained)
    title = "Training: peak memory"
    if len(on_cpu) == 1:
        title += (
            " of the process over its baseline" if on_cpu == {True} else " allocated on the GPU"
        )
    return over_lengths(
        title,
        found,
        PEAK,
        label="peak memory",
        unit=byte_unit,
        paint=_paint(PEAK),
        notes=[
            *["Peak on cpu: of the process over its baseline; else: allocated on the GPU."]
            * (len(on_cpu) > 1),
            *fit_notes(found, PEAK, symbol="bytes"),
        ],
    )


@styled
def latency(runs: Sequence[Run]) -> Figure | None:
    """Median and 95th percentile of one user's top-10 request over L."""
    found = panels(one_user(runs))

    def paint(ax: Axes, panel: Panel, size: float) -> list[float]:
        paint_fits(ax, panel, P50, size=size)
        drawn = []
        for line in panel.lines:
            median, tail = positive(line, P50), positive(line, P95)
            curve(ax, line, median, size=size, linestyle="-")
            curve(ax, line, tail, size=size, linestyle="--", markersize=0, suffix=" p95")
            drawn += _bounds([*median, *tail])
        return drawn

    return over_lengths(
        "Serving: latency of one user's top-10 list",
        found,
        P50,
        label="latency",
        unit=time_unit,
        paint=paint,
        handles=[style_handle("p50", "-"), style_handle("p95", "--")],
        notes=[*absent_notes(found, P95, "p95"), *fit_notes(found, P50)],
    )


def _paint(metric: str) -> Callable[[Axes, Panel, float], list[float]]:
    def paint(ax: Axes, panel: Panel, size: float) -> list[float]:
        paint_fits(ax, panel, metric, size=size)
        drawn = []
        for line in panel.lines:
            points = positive(line, metric)
            curve(ax, line, points, size=size)
            drawn += _bounds(points)
        return drawn

    return paint


def _bounds(points: Sequence[Point]) -> list[float]:
    return [bound for point in points for bound in (point.low, point.high)]


FIGURES: dict[str, Callable[[list[Run]], Figure | None]] = {
    "epoch_time": epoch_time,
    "latency": latency,
    "tails": tails,
    "step_latency": step_latency,
    "memory": memory,
    "memory_phases": memory_phases,
    "time_parts": time_parts,
    "accuracy_time": accuracy_time,
    "accuracy_latency": accuracy_latency,
    "learning": learning,
    "pareto": pareto,
    "roofline": roofline,
}
