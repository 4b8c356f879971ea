"""How near each cell comes to what its machine allows: achieved FLOP/s over arithmetic intensity.

Both roofs were measured beside the run (matrix products and STREAM's triad, measure/roofline.py)
and are taken back out of the records' own shares: the peak is FLOP/s over `mfu`, the bandwidth
bytes/s over `mbu`. The bandwidth depends on the size of what is worked on, so a slope is a band,
from the slowest to the fastest that a cell was held against (Williams, Waterman and Patterson,
CACM 52(4), 2009).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from report.facets import Cell, cells
from report.labels import tick
from report.load import Run
from report.notes import flag_notes, footer, kernel_note
from report.palette import FILLS, look, styled
from report.series import Line, Panel, panels
from report.sheet import Handle, model_handles, plain_ticks, sheet, style_handle

ABOVE = (
    "Above a roof: less was done than is counted (a first layer may be looked up by item), or the "
    "roof was measured while others were at work."
)
# Which metric is the time of what `flops` and `traffic_bytes` count.
TIMES = {
    "train_epoch": "epoch_time",
    "recommend": "latency_p50",
    "serve_step": "latency_p50",
    "rank_all": "rank_time",
}
WORDS = {
    "train_epoch": "training",
    "recommend": "one request, whole history",
    "serve_step": "one request, one event",
    "rank_all": "ranking",
}
GIGA = 1e9


@dataclass(frozen=True)
class Placed:
    """A cell on the roofline: FLOP a byte, FLOP/s, and the two limits it was held against."""

    seq_len: int
    intensity: float
    achieved: float
    peak: float
    bandwidth: float


@styled
def roofline(runs: Sequence[Run]) -> Figure | None:
    """A panel for each workload and set of conditions, a point for each cell."""
    found = panels(
        [cell for cell in cells(runs, *TIMES) if placed(cell) is not None],
        by=lambda cell: WORDS[cell.workload],
    )
    if not found:
        return None
    used = [cell for panel in found for cell in panel.cells]
    everything = [place for cell in used if (place := placed(cell)) is not None]
    page = sheet(
        "Roofline: achieved FLOP/s against arithmetic intensity",
        [panel.title for panel in found],
        handles=[*model_handles(found, lines=False), *_handles()],
        notes=[
            "The larger a marker, the longer L; the roofs are measured on the machine.",
            *([ABOVE] if any(place.achieved > place.peak for place in everything) else []),
            *flag_notes(used),
        ],
        footer=[*kernel_note(used), *footer(used)],
        panel_height=3.2,
    )
    lowest = min(place.intensity for place in everything) / 2
    highest = max(max(p.intensity, p.peak / p.bandwidth) for p in everything) * 2
    for ax, panel in zip(page.axes, found, strict=True):
        _paint(ax, panel, lowest, highest)
    bottom = min(place.achieved for place in everything) / 2 / GIGA
    top = max(max(place.peak, place.achieved) for place in everything) * 1.8 / GIGA
    for ax in page.axes:
        _axes(ax, (lowest, highest), (bottom, top))
    return page.figure


def placed(cell: Cell) -> Placed | None:
    """Where a cell stands; None where its record lacks the time, the cost or the machine's peak."""
    record = cell.record
    numbers = [
        record.value(name)
        for name in (TIMES[cell.workload], "flops", "traffic_bytes", "mfu", "mbu")
    ]
    if not cell.ok or any(number is None or number <= 0 for number in numbers):
        return None
    seconds, flops, traffic, mfu, mbu = (float(number or math.nan) for number in numbers)
    achieved = flops / seconds
    return Placed(cell.seq_len, flops / traffic, achieved, achieved / mfu, traffic / seconds / mbu)


def _handles() -> list[Handle]:
    return [style_handle("peak FLOP/s", "-"), Patch(facecolor="#BBBBBB", label="bandwidth")]


def _paint(ax: Axes, panel: Panel, lowest: float, highest: float) -> None:
    places = [place for cell in panel.cells if (place := placed(cell)) is not None]
    peak = max(place.peak for place in places)
    slopes = [place.bandwidth for place in places]
    x = np.geomspace(lowest, highest, 200)
    low, high = (np.minimum(x * slope, peak) / GIGA for slope in (min(slopes), max(slopes)))
    ax.fill_between(x, low, high, color="#BBBBBB", lw=0, alpha=0.7, label="bandwidth")
    ax.plot(x, high, color="#555555", lw=1.2, label="roof")
    lengths = panel.lengths
    for line in panel.lines:
        _points(ax, line, lengths)


def _points(ax: Axes, line: Line, lengths: Sequence[int]) -> None:
    style = look(line.model)
    places = [p for cells in line.cells.values() for c in cells if (p := placed(c)) is not None]
    places.sort(key=lambda place: place.seq_len)
    xs, ys = [p.intensity for p in places], [p.achieved / GIGA for p in places]
    ax.plot(xs, ys, color=style.color, lw=0.9, alpha=0.6, label=line.label)
    for x, y, place in zip(xs, ys, places, strict=True):
        rank = lengths.index(place.seq_len) / max(1, len(lengths) - 1)
        ax.plot(
            x,
            y,
            color=style.color,
            marker=style.marker,
            markersize=5 + 4 * rank,
            fillstyle=FILLS[line.variant % len(FILLS)],
            ls="none",
            label=f"{line.label} L={place.seq_len}",
            zorder=3,
        )


def _axes(ax: Axes, across: tuple[float, float], up: tuple[float, float]) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*across)
    ax.set_ylim(*up)
    for axis, (low, high) in ((ax.xaxis, across), (ax.yaxis, up)):
        ticks = plain_ticks(low, high, crowded=150)
        axis.set_ticks(ticks, [tick(value) for value in ticks])
        axis.set_ticks([], minor=True)
    ax.set_xlabel("arithmetic intensity (FLOP/B)")
    ax.set_ylabel("achieved (GFLOP/s)")
