"""Share of a training step's time by part of the model, stacked: where the time goes.

One small panel per model, so that one sees what grows with L. What the architectures differ in
(attention, scan or recurrence) has one colour and stands at the bottom; the rest above it is what
all of them pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.facets import cells
from report.load import Run
from report.notes import flag_notes, footer, kernel_note
from report.palette import SHARES, styled
from report.series import Line, Panel, panels
from report.sheet import sheet
from report.stacked import Layer, draw_stack, layer_handle, stack_title

Stacks = Mapping[int, Mapping[str, float]]


@styled
def time_parts(runs: Sequence[Run]) -> Figure | None:
    """Stacked bars of what part of a training step takes how much of it, per model and L."""
    found = panels(cells(runs, "train_epoch"))
    shown = [
        (panel, line, stacks) for panel in found for line in panel.lines if (stacks := shares(line))
    ]
    if not shown:
        return None
    used = [cell for panel in found for cell in panel.cells]
    present = {name for *_, stacks in shown for stack in stacks.values() for name in stack}
    page = sheet(
        "Training: share of time by part of the model",
        [stack_title(panel, line) for panel, line, _ in shown],
        handles=[
            layer_handle(name, *looks) for name, (_, looks) in SHARES.items() if name in present
        ],
        notes=[
            "Forward and backward together. Rest: PyTorch's gathers and sums, and Python.",
            *flag_notes(used),
        ],
        footer=[*kernel_note(used), *footer(used)],
        columns=1 if len(shown) == 1 else 2,
        panel_height=3.5 if len(shown) == 1 else 2.6,
    )
    for ax, (panel, line, stacks) in zip(page.axes, shown, strict=True):
        _bars(ax, panel, line, stacks)
    return page.figure


def shares(line: Line) -> Stacks:
    """Length -> group of parts (a name of SHARES) -> its share of a step, 0 to 1."""
    stacks: dict[int, dict[str, float]] = {}
    for name, (parts, _) in SHARES.items():
        for part in parts:
            for point in line.points(f"share_{part}"):
                stack = stacks.setdefault(point.seq_len, {})
                stack[name] = stack.get(name, 0.0) + point.value
    return stacks


def _bars(ax: Axes, panel: Panel, line: Line, stacks: Stacks) -> None:
    layers = [
        Layer(name, *looks, {n: 100 * stack[name] for n, stack in stacks.items() if name in stack})
        for name, (_, looks) in SHARES.items()
    ]
    draw_stack(ax, line, [length for length in panel.lengths if length in stacks], layers)
    ax.set_ylim(0.0, 100.0)
    ax.set_ylabel("share of a step (%)")
