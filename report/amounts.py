"""A comparison's numbers as people read them: 1.34 s, 12.5 MiB, +30.1% [+28.0%, +32.2%]."""

from __future__ import annotations

from report.labels import number, time_unit
from report.verdict import Comparison

SIZES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def amount(value: float | None, unit: str) -> str:
    """A number with its unit; "–" where there is none."""
    if value is None:
        return "–"
    if unit == "s":
        scale = time_unit(abs(value))
        return f"{number(value / scale.size)} {scale.name}"
    if unit == "B":
        size, name = next((s for s in SIZES if abs(value) >= s[0]), (1.0, "B"))
        return f"{number(value / size)} {name}"
    shown = f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else number(value)
    return shown if unit in ("", "1") else f"{shown} {unit}"


def change(comparison: Comparison) -> str:
    """The change and its bounds."""
    if comparison.change is None:
        return "–"
    shown = _signed(comparison.change, comparison.absolute)
    if comparison.low is None and comparison.high is None:
        return shown
    if comparison.low == comparison.high == comparison.change:
        return shown
    ends = [
        "?" if end is None else _signed(end, comparison.absolute)
        for end in (comparison.low, comparison.high)
    ]
    return f"{shown} [{ends[0]}, {ends[1]}]"


def margin(comparison: Comparison) -> str:
    """The change that matters."""
    if comparison.margin is None:
        return "–"
    if comparison.absolute:
        return f"±{comparison.margin:.4f}"
    return f"±{comparison.margin:.1%}" if comparison.margin else "any"


def verdict(comparison: Comparison) -> str:
    """The verdict, and that it does not fail the job where its gate is soft."""
    red = comparison.verdict in ("REGRESSED", "OOM_NEW", "FAILED")
    return (
        f"{comparison.verdict} (soft)" if red and comparison.gate == "soft" else comparison.verdict
    )


def _signed(value: float, absolute: bool) -> str:
    if absolute:
        return f"{value:+.4f}"
    return f"{value:+.1%}" if abs(value) < 9.995 else f"×{1 + value:,.1f}"
