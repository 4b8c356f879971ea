"""Stacked bars over L, one small panel a model: memory by phase, time by part.

Colours mean layers here; the model is named, in its own colour, by the panel's title.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from report.palette import look
from report.series import Line, Panel

_EDGE = "#555555"


@dataclass(frozen=True)
class Layer:
    """One part of every bar: its name and look, and its height at each L that has it."""

    name: str
    color: str
    hatch: str
    heights: Mapping[int, float]


def layer_handle(name: str, color: str, hatch: str) -> Patch:
    """A layer's entry in the legend."""
    return Patch(facecolor=color, edgecolor=_EDGE, hatch=hatch, label=name)


def stack_title(panel: Panel, line: Line) -> str:
    """The title of a model's small panel."""
    return " · ".join(text for text in (line.label, panel.title) if text)


def draw_stack(ax: Axes, line: Line, lengths: Sequence[int], layers: Sequence[Layer]) -> None:
    """The layers upon each other, the first at the bottom, and the axis of L below them."""
    base = dict.fromkeys(lengths, 0.0)
    for layer in layers:
        shown = [length for length in lengths if length in layer.heights]
        ax.bar(
            [lengths.index(length) for length in shown],
            [layer.heights[length] for length in shown],
            bottom=[base[length] for length in shown],
            width=0.72,
            color=layer.color,
            hatch=layer.hatch,
            edgecolor=_EDGE,
            linewidth=0.5,
            label=layer.name,
        )
        for length in shown:
            base[length] += layer.heights[length]
    ax.set_xticks(range(len(lengths)), [str(length) for length in lengths])
    ax.set_xlim(-0.6, len(lengths) - 0.4)
    ax.set_xlabel("history length L (events)")
    ax.set_title(ax.get_title(loc="left"), loc="left", color=look(line.model).color)
    ax.grid(visible=False, axis="x")
    if len(lengths) > 5:
        ax.tick_params(axis="x", rotation=45)
