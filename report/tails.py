"""The tails of latency over L: from the median to the slowest request in a hundred.

A panel for each model and workload, since the tails of several cover each other. A percentile that
a record has too few requests for ends its band there.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from report.draw import curve, positive
from report.facets import cells
from report.labels import time_unit
from report.load import Run
from report.notes import absent_notes, flag_notes, footer, gap_notes, kernel_note
from report.palette import look, styled
from report.series import Line, Panel, panels
from report.serving import one_user
from report.sheet import length_axis, sheet, style_handle, value_axis

P50, P90, P95, P99 = (f"latency_p{percent}" for percent in (50, 90, 95, 99))
WORDS = {"recommend": "whole history", "serve_step": "one event"}
# Bands between two percentiles, the darker the more common.
BANDS = ((P50, P90, 0.45, "p50 to p90"), (P90, P95, 0.28, "to p95"), (P95, P99, 0.14, "to p99"))


@styled
def tails(runs: Sequence[Run]) -> Figure | None:
    """Latency of one user's requests over L, p50 as a line and bands up to p99."""
    stepped = [c for c in cells(runs, "serve_step") if c.record.config.get("batch_size") == 1]
    found = panels([*one_user(runs), *stepped], by=lambda cell: WORDS[cell.workload])
    drawn = [(panel, line) for panel in found for line in panel.lines if positive(line, P50)]
    if not any(positive(line, P99) or positive(line, P95) for _, line in drawn):
        return None
    used = [cell for panel in found for cell in panel.cells]
    page = sheet(
        "Serving: tails of latency, one user",
        [" · ".join(text for text in (line.label, panel.title) if text) for panel, line in drawn],
        handles=[
            style_handle("p50", "-"),
            *(Patch(facecolor="#555555", alpha=alpha, label=name) for *_, alpha, name in BANDS),
        ],
        notes=[*gap_notes(found, P50), *absent_notes(found, P99, "p99"), *flag_notes(used)],
        footer=[*kernel_note(used), *footer(used)],
        columns=1 if len(drawn) == 1 else 2,
        panel_height=3.5 if len(drawn) == 1 else 2.5,
    )
    highest = [max(p.value for name in (P50, P99) for p in positive(ln, name)) for _, ln in drawn]
    unit = time_unit(sorted(highest)[len(highest) // 2])
    values = list[float]()
    for ax, (panel, line) in zip(page.axes, drawn, strict=True):
        values += _paint(ax, panel, line, unit.size)
    for ax in page.axes:
        value_axis(ax, values, label="latency", unit=unit, rows=0)
    return page.figure


def _paint(ax: Axes, panel: Panel, line: Line, size: float) -> list[float]:
    color = look(line.model).color
    ax.set_title(ax.get_title(loc="left"), loc="left", color=color)
    curve(ax, line, positive(line, P50), size=size, markersize=5.0)
    length_axis(ax, panel.lengths)
    values = [point.value for point in positive(line, P50)]
    for lower, upper, alpha, name in BANDS:
        low = {point.seq_len: point.value for point in positive(line, lower)}
        high = {point.seq_len: point.value for point in positive(line, upper)}
        at = sorted(set(low) & set(high))
        ax.fill_between(
            at,
            [low[x] / size for x in at],
            [high[x] / size for x in at],
            color=color,
            alpha=alpha,
            lw=0,
            label=name,
        )
        values += [high[x] for x in at]
    return values
