"""A chart as data: axes, what each line looks like, and a panel per set of conditions.

vega.py turns one into a specification, the template its panels into tables. Numbers are in the
units shown: ms, MiB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from report.labels import model_label, one_line
from report.page.curves import short
from report.palette import look
from report.series import Line
from report.sheet import plain_ticks

# Names of matplotlib's markers and what Vega calls them.
SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "p": "triangle-right",
    "h": "triangle-left",
    "<": "triangle-left",
    ">": "triangle-right",
    "*": "cross",
}
STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
PART = ("line", "x", "y", "low", "high", "n", "style", "hollow", "note", "label")


@dataclass(frozen=True)
class Axis:
    """One axis; `ticks` empty where the library chooses them, bounds None where each panel does."""

    title: str
    low: float | None
    high: float | None
    ticks: list[float] = field(default_factory=list)
    log: bool = True


@dataclass(frozen=True)
class Key:
    """A legend entry: a line's label and its look."""

    label: str
    model: str
    color: str
    shape: str


@dataclass
class Part:
    """One panel: points and fitted curves as columns, a table of the same, and its small print."""

    title: str
    points: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in PART})
    fits: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in ("line", "x", "y", "low", "high", "style")}
    )
    rules: list[dict[str, Any]] = field(default_factory=list)
    head: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, **values: Any) -> None:
        """One more point; what is not named is empty."""
        for name in PART:
            value = values.get(name)
            self.points[name].append(short(value) if isinstance(value, float) else value)


@dataclass(frozen=True)
class Chart:
    """One chart of the page; `styles` are what dashes mean: percentiles."""

    name: str
    title: str
    says: str
    x: Axis
    y: Axis
    keys: list[Key]
    parts: list[Part]
    joined: bool = True
    styles: tuple[str, ...] = ()


def key_of(line: Line) -> Key:
    """The legend entry of a line, in its model's look."""
    style = look(line.model)
    return Key(line.label, model_label(line.model), style.color, SHAPES[style.marker])


def keys_of(lines: Sequence[Line]) -> list[Key]:
    """One entry per label."""
    return list({line.label: key_of(line) for line in lines}.values())


def length_axis(found: Sequence[int]) -> Axis:
    """History length on a logarithmic axis whose ticks are the measured lengths."""
    low, high = min(found), max(found)
    pad = max((high / low) ** 0.05, 1.12)
    return Axis("history length L (events)", low / pad, high * pad, [float(at) for at in found])


def value_axis(title: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis around positive values, at least a factor of four high."""
    low, high = min(values) / 1.2, max(values) * 1.2
    if high / low < 4:
        middle = math.sqrt(low * high)
        low, high = middle / 2, middle * 2
    return Axis(title, low, high, _ticks(low, high))


def _ticks(low: float, high: float) -> list[float]:
    """As `plain_ticks`, and more of them where the axis spans no more than a factor of 15."""
    if high / low > 15:
        return plain_ticks(low, high, crowded=300)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [round(step * 10.0**decade, 12) for decade in decades for step in STEPS]
    return [value for value in ticks if low <= value <= high]


def linear_axis(title: str, values: Sequence[float]) -> Axis:
    """A linear axis with a little room around the values; the library chooses its ticks."""
    low, high = min(values), max(values)
    room = 0.08 * ((high - low) or abs(high) or 1.0)
    return Axis(title, max(0.0, low - room) if low >= 0 else low - room, high + room, [], False)


def panel_title(title: str) -> str:
    """What sets a panel apart, short enough for a heading."""
    return one_line(title, 160)
