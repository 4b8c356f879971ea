"""Memory of training by phase: how far each phase raised the peak over the baseline, stacked.

One small panel per model, so that the bars of one model over L stand together; all panels share
one linear axis, since only there stacked heights can be compared. Colours mean phases here; the
model is named, in its own colour, by the panel's title.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from report.draw import cross_lines, crosses
from report.facets import cells
from report.labels import BYTES, byte_unit
from report.load import Run
from report.notes import flag_notes, footer, gap_notes, kernel_note
from report.palette import PHASES, look, styled
from report.series import Line, Panel, panels
from report.sheet import linear_room, sheet

PEAK = "memory_peak"


@styled
def memory_phases(runs: Sequence[Run]) -> Figure | None:
    """Stacked bars of the peak memory of training, by phase, per model and L."""
    found = panels(cells(runs, "train_epoch"))
    stacks = [(panel, line) for panel in found for line in panel.lines]
    heights = [max(_tops(line).values(), default=0.0) for _, line in stacks]
    if not any(heights):
        return None
    used = [cell for panel in found for cell in panel.cells]
    page = sheet(
        "Training: peak memory over the baseline, by phase",
        [" · ".join(text for text in (line.label, panel.title) if text) for panel, line in stacks],
        handles=[
            Patch(facecolor=color, edgecolor="#555555", hatch=hatch, label=phase)
            for phase, (color, hatch) in PHASES.items()
        ],
        notes=[*gap_notes(found, PEAK), *_baseline(stacks), *flag_notes(used)],
        footer=[*kernel_note(used), *footer(used)],
        columns=1 if len(stacks) == 1 else 2,
        panel_height=3.5 if len(stacks) == 1 else 2.6,
    )
    unit = byte_unit(max(heights))
    for ax, (panel, line) in zip(page.axes, stacks, strict=True):
        _bars(ax, panel, line, unit.size)
        ax.set_ylabel(f"peak memory ({unit.name})")
    rows = max(len(cross_lines(panel, PEAK)) for panel in found)
    top = linear_room(0.0, max(heights) / unit.size, min(rows, 1))[1]
    page.axes[0].set_ylim(0.0, top)
    return page.figure


def _bars(ax: Axes, panel: Panel, line: Line, size: float) -> None:
    base = dict.fromkeys(panel.lengths, 0.0)
    for phase, (color, hatch) in PHASES.items():
        points = line.points(f"memory_{phase}")
        ax.bar(
            [panel.lengths.index(point.seq_len) for point in points],
            [point.value / size for point in points],
            bottom=[base[point.seq_len] for point in points],
            width=0.72,
            color=color,
            hatch=hatch,
            edgecolor="#555555",
            linewidth=0.5,
            label=phase,
        )
        for point in points:
            base[point.seq_len] += point.value / size
    crosses(ax, Panel(panel.title, [line], panel.facets), PEAK, panel.lengths)
    ax.set_xticks(range(len(panel.lengths)), [str(length) for length in panel.lengths])
    ax.set_xlim(-0.6, len(panel.lengths) - 0.4)
    ax.set_xlabel("history length L (events)")
    ax.set_title(ax.get_title(loc="left"), loc="left", color=look(line.model).color)
    ax.grid(visible=False, axis="x")
    if len(panel.lengths) > 5:
        ax.tick_params(axis="x", rotation=45)


def _baseline(stacks: Sequence[tuple[Panel, Line]]) -> list[str]:
    """How much there was before the first phase; it says nothing of a model, so it has no bar."""
    sizes = [p.value / BYTES[0].size for _, line in stacks for p in line.points("memory_baseline")]
    if not sizes:
        return []
    low, high = f"{min(sizes):,.0f}", f"{max(sizes):,.0f}"
    text = low if low == high else f"{low} to {high}"
    return [f"Baseline (libraries and data, before the first phase), not in the bars: {text} MiB"]


def _tops(line: Line) -> dict[int, float]:
    """The height of each length's stack in bytes."""
    tops: dict[int, float] = {}
    for phase in PHASES:
        for point in line.points(f"memory_{phase}"):
            tops[point.seq_len] = tops.get(point.seq_len, 0.0) + point.value
    return tops
