"""The marks inside a panel: a model's line, its range bars, and a cross where a number is missing.

Filled markers are measured, hollow ones extrapolated, and a cross at the top of the axis says
that this model has no number at this L (the note below the figure says why); "oom" stands where a
model ran out of memory beyond its last point. Only positive values
can be drawn on a logarithmic axis; others are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.facets import Cell
from report.labels import Unit
from report.notes import CROSS, flag_notes, footer, gap_notes, kernel_note, missing, repeat_notes
from report.palette import FILLS, LineStyle, look
from report.series import Line, Panel, Point
from report.sheet import ROW_SHARE, Handle, length_axis, model_handles, sheet, value_axis


def curve(
    ax: Axes,
    line: Line,
    points: Sequence[Point],
    *,
    size: float,
    x: Callable[[Point], float] = lambda point: float(point.seq_len),
    linestyle: LineStyle | None = None,
    markersize: float = 7.0,
    suffix: str = "",
) -> None:
    """A model's points joined in order of L, hollow where extrapolated, with range bars.

    Args:
        size: what values are divided by, a unit's size.
        linestyle: in place of the model's own, where the style says something else.
        markersize: 0 for a line without markers.
        suffix: put after the label.
    """
    if not points:
        return
    style = look(line.model)
    label = line.label + suffix
    xs, ys = [x(point) for point in points], [point.value / size for point in points]
    ax.plot(
        xs,
        ys,
        color=style.color,
        linestyle=linestyle or style.linestyle,
        linewidth=1.2 if line.variant else 2.0,
        label=label,
    )
    for hollow in (False, True):
        chosen = [place for place, point in enumerate(points) if point.extrapolated is hollow]
        if chosen and markersize:
            ax.plot(
                [xs[place] for place in chosen],
                [ys[place] for place in chosen],
                linestyle="none",
                color=style.color,
                marker=style.marker,
                markersize=markersize,
                fillstyle=FILLS[line.variant % len(FILLS)],
                markerfacecolor="white" if hollow else style.color,
                markerfacecoloralt="white",
                markeredgewidth=1.6,
                label=f"{label} {'extrapolated' if hollow else 'measured'}",
                zorder=3,
            )
    for place, point in zip(xs, points, strict=True):
        if point.n > 1:
            ax.vlines(place, point.low / size, point.high / size, color=style.color, lw=1.4)


def crosses(ax: Axes, panel: Panel, metric: str, places: Sequence[int] | None = None) -> None:
    """A cross per missing number, each line's in its own row at the top of the axis.

    Args:
        places: the lengths by position, where the axis counts positions instead of lengths.
    """
    for row, line in enumerate(cross_lines(panel, metric)):
        at: list[float] = [float(seq_len) for seq_len in _missing_at(panel, line, metric)]
        if places is not None:
            at = [float(places.index(int(seq_len))) for seq_len in at]
        ax.plot(
            at,
            [1 - ROW_SHARE * (row + 0.5)] * len(at),
            transform=ax.get_xaxis_transform(),
            linestyle="none",
            marker="x",
            markersize=7.5,
            markeredgewidth=2.2,
            color=look(line.model).color,
            label=f"{CROSS} {line.label}",
            clip_on=False,
            zorder=4,
        )


def stops(ax: Axes, panel: Panel, metric: str, *, size: float) -> None:
    """ "oom" at the last length that a model reached before it ran out of memory."""
    for line in panel.lines:
        points = positive(line, metric)
        beyond = [gap for gap in line.gaps(metric) if gap.status.endswith("oom")]
        if not points or not any(gap.seq_len > points[-1].seq_len for gap in beyond):
            continue
        last = points[-1]
        ax.annotate(
            "oom",
            (last.seq_len, last.value / size),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            fontweight="bold",
            color=look(line.model).color,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": look(line.model).color},
            label=f"stop {line.label}",
            zorder=5,
        )


def cross_lines(panel: Panel, metric: str) -> list[Line]:
    """The lines with something missing; each takes a row."""
    return [line for line in panel.lines if _missing_at(panel, line, metric)]


def _missing_at(panel: Panel, line: Line, metric: str) -> list[int]:
    absent = {gap.seq_len for gap in line.gaps(metric)} | set(missing(panel, line))
    return sorted(absent)


def positive(line: Line, metric: str) -> list[Point]:
    """The points that a logarithmic axis can show."""
    return [point for point in line.points(metric) if point.low > 0]


def over_lengths(
    title: str,
    found: Sequence[Panel],
    metric: str,
    *,
    label: str,
    unit: Callable[[float], Unit],
    paint: Callable[[Axes, Panel, float], list[float]],
    handles: Sequence[Handle] = (),
    legend: Sequence[Panel] | None = None,
    notes: Sequence[str] = (),
    used: Sequence[Cell] | None = None,
) -> Figure | None:
    """The common figure: a value over L, both logarithmic, a panel per set of conditions.

    Args:
        metric: the main one, which decides what is missing and the unit.
        paint: draws a panel's lines in units of the size given and returns all values in SI units.
        handles: legend entries that say what line styles mean; the models' own styles then don't.
        legend: the panels that the legend names the lines of, where these are more than `found`.
        used: the cells that the footer speaks of, where these are more than the panels'.
    """
    named = found if legend is None else legend
    values = [p.value for panel in named for line in panel.lines for p in positive(line, metric)]
    if not any(positive(line, metric) for panel in found for line in panel.lines):
        return None
    cells = [cell for panel in found for cell in panel.cells] if used is None else used
    page = sheet(
        title,
        [panel.title for panel in found],
        handles=[*model_handles(named, lines=not handles), *handles],
        notes=[
            *gap_notes(found, metric),
            *notes,
            *repeat_notes(found, metric),
            *flag_notes(cells, metric),
        ],
        footer=[*kernel_note(cells), *footer(cells)],
    )
    shown = unit(max(values))
    drawn = []
    for ax, panel in zip(page.axes, found, strict=True):
        drawn += paint(ax, panel, shown.size)
        crosses(ax, panel, metric)
        stops(ax, panel, metric, size=shown.size)
        length_axis(ax, panel.lengths)
    rows = max(len(cross_lines(panel, metric)) for panel in found)
    for ax in page.axes:
        value_axis(ax, drawn, label=label, unit=shown, rows=rows)
    return page.figure
