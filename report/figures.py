"""The figures, by name: each takes the runs and gives one, or None where nothing was measured.

`FIGURES` is all that the command line knows; a new figure is one function and one entry. The
curves over L are here, memory by phase in phases.py, and accuracy against cost in accuracy.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.accuracy import accuracy_latency, accuracy_time, learning
from report.draw import curve, over_lengths, positive
from report.facets import Cell, cells
from report.labels import byte_unit, time_unit
from report.load import Run
from report.notes import absent_notes
from report.palette import styled
from report.phases import memory_phases
from report.series import Panel, Point, panels
from report.sheet import style_handle

P50, P95 = "latency_p50", "latency_p95"
PEAK = "training_peak"


@styled
def epoch_time(runs: Sequence[Run]) -> Figure | None:
    """Seconds of one training epoch over L."""
    return over_lengths(
        "Training: time of one epoch",
        panels(cells(runs, "train_epoch")),
        "epoch_time",
        label="epoch time",
        unit=time_unit,
        paint=_paint("epoch_time"),
    )


@styled
def memory(runs: Sequence[Run]) -> Figure | None:
    """Peak memory of training over L: allocated on the device where there is one, else host."""
    found = [_with_peak(cell) for cell in cells(runs, "train_epoch")]
    on_cpu = {cell.facets["device"] == "cpu" for cell in found}
    title = "Training: peak memory"
    if len(on_cpu) == 1:
        title += (
            " of the process over its baseline" if on_cpu == {True} else " allocated on the GPU"
        )
    return over_lengths(
        title,
        panels(found),
        PEAK,
        label="peak memory",
        unit=byte_unit,
        paint=_paint(PEAK),
        notes=["Peak on cpu: of the process over its baseline; else: allocated on the GPU."]
        * (len(on_cpu) > 1),
    )


def _with_peak(cell: Cell) -> Cell:
    """The cell with the peak that its device is judged by under one name."""
    name = "memory_peak" if cell.facets["device"] == "cpu" else "cuda_allocated_peak"
    metrics = cell.record.metrics
    if name not in metrics:
        return cell
    return replace(cell, record=replace(cell.record, metrics={**metrics, PEAK: metrics[name]}))


@styled
def latency(runs: Sequence[Run]) -> Figure | None:
    """Median and 95th percentile of one user's top-10 request over L."""
    found = panels(one_user(runs))

    def paint(ax: Axes, panel: Panel, size: float) -> list[float]:
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
        notes=absent_notes(found, P95, "p95"),
    )


@styled
def step_latency(runs: Sequence[Run]) -> Figure | None:
    """One new event for a user: updating a kept state beside computing the whole history again."""
    stepped, again = cells(runs, "serve_step"), one_user(runs)
    found, recomputed = panels(stepped), panels(again)

    def paint(ax: Axes, panel: Panel, size: float) -> list[float]:
        drawn = []
        for line in panel.lines:
            state = positive(line, P50)
            curve(ax, line, state, size=size, linestyle="-")
            drawn += _bounds(state)
        for other in (other for other in recomputed if other.facets == panel.facets):
            for line in other.lines:
                full = positive(line, P50)
                curve(ax, line, full, size=size, linestyle=":", markersize=4.5, suffix=" recompute")
                drawn += _bounds(full)
        return drawn

    return over_lengths(
        "Serving: one new event, median latency",
        found,
        P50,
        label="latency p50",
        unit=time_unit,
        paint=paint,
        handles=[style_handle("one step of a kept state", "-"), style_handle("recompute", ":")],
        legend=[*found, *recomputed],
        used=[*stepped, *again],
    )


def one_user(runs: Sequence[Run]) -> list[Cell]:
    """The recommend cells that serve one user at a time."""
    return [cell for cell in cells(runs, "recommend") if cell.record.config.get("batch_size") == 1]


def _paint(metric: str) -> Callable[[Axes, Panel, float], list[float]]:
    def paint(ax: Axes, panel: Panel, size: float) -> list[float]:
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
    "step_latency": step_latency,
    "memory": memory,
    "memory_phases": memory_phases,
    "accuracy_time": accuracy_time,
    "accuracy_latency": accuracy_latency,
    "learning": learning,
}
