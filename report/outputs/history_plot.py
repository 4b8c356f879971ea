"""The history of the series that changed most for the worse: a point a commit, a line a level.

Each new level is marked by the commits that it lies between and its change in percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.amounts import amount
from report.change_points import ChangePoint
from report.history import Series
from report.labels import one_line
from report.palette import NOTE_SIZE, styled

MOST_SERIES = 6
COLOURS = {True: "#D55E00", False: "#009E73"}


@styled
def save_history_plot(found: Sequence[ChangePoint], path: Path) -> int:
    """Draw to `path` (.png, .svg, .pdf); how many series, 0 where no level changed and no file.

    Args:
        found: change points, the worst first.
    """
    by_series: dict[Series, list[ChangePoint]] = {}
    for point in found:
        by_series.setdefault(point.series, []).append(point)
    chosen = list(by_series.items())[:MOST_SERIES]
    if not chosen:
        return 0
    figure = Figure(figsize=(11, 0.6 + 2.1 * len(chosen)), layout="constrained")
    panels = figure.subplots(len(chosen), squeeze=False)[:, 0]
    for axes, (series, points) in zip(panels, chosen, strict=True):
        _draw_panel(axes, series, sorted(points, key=lambda point: point.place))
    if left := len(by_series) - len(chosen):
        figure.supxlabel(f"{left} more series changed", size=NOTE_SIZE)
    path.parent.mkdir(parents=True, exist_ok=True)
    date = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, format=path.suffix.removeprefix("."), metadata=date)
    return len(chosen)


def _draw_panel(axes: Axes, series: Series, points: Sequence[ChangePoint]) -> None:
    values = np.array([point.value for point in series.points])
    axes.plot(values, ".", color="#7F7F7F", markersize=4)
    ends = [0, *(point.place for point in points), len(values)]
    for begin, end in pairwise(ends):
        level = float(np.median(values[begin:end]))
        axes.plot([begin, end - 1], [level, level], color="black", linewidth=1.2)
    for point in points:
        axes.axvline(point.place - 0.5, color=COLOURS[point.worse], linewidth=0.9)
        said = one_line(f"{point.change:+.1%}, {point.before[:8]}..{point.after[:8]}", 60)
        where, right = (point.place - 0.5, 1.0), (3, -2)
        axes.annotate(
            said, where, right, ("data", "axes fraction"), "offset points", va="top", fontsize=7
        )
    axes.set_title(one_line(f"{series.title} {series.metric}, {series.machine}", 150), fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: amount(value, series.unit))
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.15)
    last = len(values) - 1
    commits = [one_line(series.points[at].commit[:8], 12) for at in (0, last)]
    axes.set_xticks([0, last], commits, fontsize=7)
