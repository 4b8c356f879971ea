"""Learning: NDCG@10 on the validation items over seconds of training, a line per model and seed."""

from __future__ import annotations

from collections.abc import Sequence

from report.facets import Cell
from report.labels import number, time_unit
from report.notes import flag_notes
from report.page.chart import Axis, Chart, Part, keys_of, linear_axis, panel_title
from report.page.selection import of_workload
from report.series import Line, Panel, panels

HEAD = ("Model", "Seed", "Epochs", "Training (s)", "Best NDCG@10", "at (s)")
# More points than this a line can't be told apart; the best epoch is always among them.
MOST_POINTS = 200
Curve = tuple[Line, str, list[float], list[float]]


def learning(found: Sequence[Cell]) -> Chart | None:
    """One panel per set of conditions and L."""
    shown = panels(of_workload(found, "fit"), by=lambda cell: f"L={cell.seq_len}")
    curves = [(panel, curves) for panel in shown if (curves := _curves(panel))]
    if not curves:
        return None
    longest = max(xs[-1] for _, panel_curves in curves for _, _, xs, _ in panel_curves)
    unit = time_unit(longest)
    scores = [y for _, panel_curves in curves for _, _, _, ys in panel_curves for y in ys]
    return Chart(
        "learning",
        "Learning: accuracy over training time",
        "Validation accuracy after each epoch, a line per seed, validation time left out.",
        Axis(f"training time ({unit.name})", None, None, [], False),
        linear_axis("NDCG@10, validation items", scores),
        keys_of([line for _, panel_curves in curves for line, _, _, _ in panel_curves]),
        [_part(panel, panel_curves, unit.size) for panel, panel_curves in curves],
    )


def _curves(panel: Panel) -> list[Curve]:
    return [
        (line, str(cell.record.config.get("seed", "")), *learned)
        for line in panel.lines
        for group in line.cells.values()
        for cell in group
        if cell.ok and (learned := _learned(cell))[0]
    ]


def _learned(cell: Cell) -> tuple[list[float], list[float]]:
    samples = cell.record.samples
    pairs = list(zip(samples.get("seconds", []), samples.get("valid_ndcg@10", []), strict=False))
    return [x for x, _ in pairs], [y for _, y in pairs]


def _part(panel: Panel, curves: Sequence[Curve], size: float) -> Part:
    part = Part(panel_title(panel.title), head=HEAD, notes=flag_notes(panel.cells))
    for line, seed, xs, ys in curves:
        best = ys.index(max(ys))
        every = -(-len(xs) // MOST_POINTS)
        for place, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if place % every == 0 or place == best:
                part.add(line=line.label, x=x / size, y=y, style=seed, hollow=place == best)
        row = (line.label, seed, str(len(xs)), number(xs[-1]), f"{ys[best]:.4f}", number(xs[best]))
        part.rows.append(row)
    return part
