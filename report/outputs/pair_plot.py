"""A dot plot of all that moved: each pair's ratio as a dot, the estimate and its bounds as a line.

The grey band is the margin: a line beyond it is a regression or an improvement, one that crosses
its edge is undecided.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.amounts import verdict
from report.labels import one_line
from report.palette import NOTE_SIZE, styled
from report.verdict import RED, Comparison, Report, Verdict

MOST_ROWS = 40
COLOURS = {"red": "#D55E00", "green": "#009E73", "open": "#E69F00", "same": "#7F7F7F"}


@styled
def save_pair_plot(report: Report, path: Path) -> int:
    """Draw to `path` (.png, .svg, .pdf); the number of rows, 0 where nothing moved and no file."""
    rows = _rows(report)
    if not rows:
        return 0
    figure = draw(report, rows)
    date = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, format=path.suffix.removeprefix("."), metadata=date)
    return len(rows)


@styled
def draw(report: Report, rows: list[Comparison]) -> Figure:
    """One row a comparison, the first at the top."""
    figure = Figure(figsize=(11, 1.6 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    moved = [abs(row.change or 0) for row in rows if row.verdict is not Verdict.UNCHANGED]
    reach = 140 * max([0.1, *moved])
    axes.set_xlim(max(-100, -reach), reach)  # wide bounds of what did not move end at the edge
    axes.axvline(0, color="black", linewidth=0.8)
    names = [f"{one_line(row.cell_id, 60)}\n{row.metric}: {verdict(row)}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("change of head against base, %")
    axes.set_title(one_line(report.headline, 110))
    figure.supxlabel(one_line(f"{report.design}; noise floor: {report.noise}", 150), size=NOTE_SIZE)
    return figure


def _rows(report: Report) -> list[Comparison]:
    """Ratios only, in the report's order: red first, then undecided, then the rest."""
    drawn = [c for c in report.of(Verdict) if c.change is not None and not c.absolute]
    return [c for c in drawn if c.stage != "exact" or c.verdict is not Verdict.UNCHANGED][
        :MOST_ROWS
    ]


def _draw_row(axes: Axes, place: int, row: Comparison) -> None:
    color = COLOURS[_mood(row)]
    if row.margin:
        least = -row.margin / (1 + row.margin)
        axes.barh(place, 100 * (row.margin - least), left=100 * least, height=0.8, color="#E8E8E8")
    ratios = [100 * (pair.ratio - 1) for pair in row.pairs if pair.ratio is not None]
    axes.plot(ratios, [place] * len(ratios), ".", color=color, alpha=0.45, markersize=5)
    if row.low is not None and row.high is not None:
        axes.plot([100 * row.low, 100 * row.high], [place, place], color=color)
    assert row.change is not None, "rows without a change are not drawn"
    axes.plot([100 * row.change], [place], "D", color=color, markersize=5)


def _mood(row: Comparison) -> str:
    if row.verdict in RED:
        return "red"
    if row.verdict is Verdict.IMPROVED:
        return "green"
    return "same" if row.verdict is Verdict.UNCHANGED else "open"
