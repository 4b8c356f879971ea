"""One figure's paper: title and legend above the panels, notes below, nothing on top of data.

Heights are counted in inches before anything is drawn, so the figure grows with its notes and
panels instead of squeezing them. Panels stand under each other up to three, which reads well on a
phone; more stand in two columns.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from report.labels import Unit, tick
from report.palette import FILLS, NOTE_SIZE, TEXT_SIZE, look
from report.series import Line, Panel
from report.typeset import inches, wrap

Handle = Line2D | Patch
WIDTH = 6.6
PANEL_HEIGHT = 3.5
TITLE_INCHES = 0.36
TITLE_SIZE = TEXT_SIZE + 1
LEGEND_INCHES = 0.25
NOTE_INCHES = NOTE_SIZE * 1.32 / 72
MARGIN = 0.12


@dataclass(frozen=True)
class Sheet:
    """A figure and its panels' axes, in reading order."""

    figure: Figure
    axes: list[Axes]


def sheet(
    title: str,
    panel_titles: Sequence[str],
    *,
    handles: Sequence[Handle],
    notes: Sequence[str],
    footer: Sequence[str],
    columns: int | None = None,
    panel_height: float = PANEL_HEIGHT,
) -> Sheet:
    """An empty figure with one pair of axes per panel title."""
    count = len(panel_titles)
    columns = columns or (1 if count <= 3 else 2)
    rows = math.ceil(count / columns)
    width = WIDTH if columns == 1 else WIDTH * 1.3
    inside = width - 2 * MARGIN
    heading = wrap(title, inside, TITLE_SIZE, bold=True)
    # A long line of small letters comes out up to 2% wider than its letters' widths, by rounding.
    small = [part for text in [*notes, *footer] for part in wrap(text, inside / 1.025, NOTE_SIZE)]
    legend_columns = _legend_columns(handles, width)
    legend_rows = math.ceil(len(handles) / legend_columns)
    top = MARGIN + TITLE_INCHES * len(heading) + LEGEND_INCHES * legend_rows
    bottom = MARGIN + NOTE_INCHES * len(small) + 0.08
    height = top + bottom + rows * panel_height
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine(
        "constrained",
        rect=(0.01, bottom / height, 0.97, 1 - (top + bottom) / height),
        h_pad=0.06,
        hspace=0.04,
    )
    axes = _axes(figure, rows, columns, panel_titles)
    left, below = MARGIN / width, 1 - (MARGIN + TITLE_INCHES * len(heading) - 0.1) / height
    _text(
        figure, (left, 1 - MARGIN / height), heading, va="top", fontweight="bold", size=TITLE_SIZE
    )
    _text(figure, (left, MARGIN / height), small, va="bottom", color="#333333", size=NOTE_SIZE)
    if handles:
        figure.legend(
            handles=list(handles),
            loc="upper left",
            ncols=legend_columns,
            bbox_to_anchor=(left - 0.04 / width, below),
            borderaxespad=0.0,
            columnspacing=1.4,
        )
    return Sheet(figure, axes)


def settle(figure: Figure) -> None:
    """Lay the figure out and round where its axes stand: the last digits are not always the same,
    and names in an SVG are made of all of them.
    """
    layout = figure.get_layout_engine()
    if layout is None:
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        layout.execute(figure)
    # With any engine, even "none", matplotlib draws a figure once more before it writes it.
    figure.set_layout_engine(None)
    for ax in figure.axes:
        ax.set_position(tuple(round(edge, 4) for edge in ax.get_position().bounds))


def _axes(figure: Figure, rows: int, columns: int, titles: Sequence[str]) -> list[Axes]:
    """A grid of axes with one vertical scale, as many as there are titles."""
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for spare in axes[len(titles) :]:
        spare.remove()
    room = figure.get_figwidth() / columns - 1.1
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title("\n".join(wrap(title, room, TEXT_SIZE)), loc="left")
        ax.tick_params(labelleft=True)
    return axes[: len(titles)]


def _text(figure: Figure, place: tuple[float, float], lines: Sequence[str], **looks: Any) -> None:
    figure.text(*place, "\n".join(lines), linespacing=1.25, **looks)


def _legend_columns(handles: Sequence[Handle], width: float) -> int:
    """As many columns as fit, filled as matplotlib does: from the left, top to bottom."""
    sizes_inches = [inches(str(handle.get_label()), 10.5) + 0.72 for handle in handles]
    for columns in range(min(len(handles), 6), 1, -1):
        rows, longer = divmod(len(handles), columns)
        sizes = [rows + 1] * longer + [rows] * (columns - longer)
        starts = [sum(sizes[:place]) for place in range(columns)]
        widest = [max(sizes_inches[at : at + size]) for at, size in zip(starts, sizes, strict=True)]
        if sum(widest) <= width - MARGIN:
            return columns
    return 1


def model_handles(found: Sequence[Panel], *, lines: bool = True) -> list[Handle]:
    """One legend entry per line label, over all panels."""
    handles: dict[str, Handle] = {}
    for panel in found:
        for line in panel.lines:
            handles.setdefault(line.label, _handle(line, lines=lines))
    return list(handles.values())


def _handle(line: Line, *, lines: bool) -> Line2D:
    style = look(line.model)
    return Line2D(
        [],
        [],
        color=style.color,
        marker=style.marker,
        linestyle=style.linestyle if lines else "none",
        linewidth=1.2 if line.variant else 2.0,
        fillstyle=FILLS[line.variant % len(FILLS)],
        markerfacecoloralt="white",
        label=line.label,
    )


def style_handle(label: str, linestyle: Any, marker: str = "") -> Line2D:
    """A grey legend entry that explains a line style or a marker."""
    return Line2D([], [], color="#555555", linestyle=linestyle, marker=marker, label=label)


def length_axis(ax: Axes, found: Sequence[int]) -> None:
    """A logarithmic axis of L with the measured lengths as plain numbers."""
    ax.set_xscale("log")
    low, high = min(found), max(found)
    pad = max((high / low) ** 0.07, 1.15 if high > low else 1.8)
    ax.set_xlim(low / pad, high * pad)
    ax.set_xticks(list(found), [str(length) for length in found])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("history length L (events)")
    total = math.log(high / low * pad * pad)
    steps = [math.log(b / a) / total for a, b in pairwise(found)]
    if steps and min(steps) < 0.09:
        ax.tick_params(axis="x", rotation=90 if min(steps) < 0.045 else 45)


def value_axis(ax: Axes, values: Sequence[float], *, label: str, unit: Unit, rows: int) -> None:
    """A logarithmic axis with plain numbers, and room above the data for `rows` rows of crosses."""
    ax.set_yscale("log")
    low, high = min(values) / unit.size, max(values) / unit.size
    low, high = low / 1.25, high * 1.25
    if high / low < 5:
        middle, half = math.sqrt(low * high), math.sqrt(5)
        low, high = middle / half, middle * half
    low, high = low, high * (high / low) ** (_free(rows) / (1 - _free(rows)))
    ax.set_ylim(low, high)
    ticks = plain_ticks(low, high)
    ax.set_yticks(ticks, [tick(value) for value in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylabel(f"{label} ({unit.name})")


def linear_room(low: float, high: float, rows: int) -> tuple[float, float]:
    """Limits of a linear axis with the same room above the data."""
    span = (high - low) or abs(high) or 1.0
    low, high = low - 0.06 * span, high + 0.08 * span
    return low, high + (high - low) * _free(rows) / (1 - _free(rows))


def plain_ticks(low: float, high: float, *, crowded: float = 3e3) -> list[float]:
    """1, 2, 5 in each decade; its first alone where the axis spans a factor of `crowded`."""
    steps = (1.0,) if high / low > crowded else (1.0, 2.0, 5.0)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [round(step * 10.0**decade, 12) for decade in decades for step in steps]
    return [value for value in ticks if low <= value <= high]


ROW_SHARE = 0.055


def _free(rows: int) -> float:
    return min(0.5, ROW_SHARE * rows + 0.02) if rows else 0.0
