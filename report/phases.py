"""Memory of training by phase: how far each phase raised the peak over the baseline, stacked.

One small panel per model, so that the bars of one model over L stand together; all panels share
one linear axis, since only there stacked heights can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.draw import cross_lines, crosses
from report.facets import cells
from report.labels import BYTES, byte_unit
from report.load import Run
from report.notes import flag_notes, footer, gap_notes, kernel_note
from report.palette import PHASES, styled
from report.series import Line, Panel, panels
from report.sheet import linear_room, sheet
from report.stacked import Layer, draw_stack, layer_handle, stack_title

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
        [stack_title(panel, line) for panel, line in stacks],
        handles=[layer_handle(phase, *looks) for phase, looks in PHASES.items()],
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
    layers = [
        Layer(phase, *looks, {p.seq_len: p.value / size for p in line.points(f"memory_{phase}")})
        for phase, looks in PHASES.items()
    ]
    draw_stack(ax, line, panel.lengths, layers)
    crosses(ax, Panel(panel.title, [line], panel.facets), PEAK, panel.lengths)


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
