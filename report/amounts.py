"""A comparison's numbers as people read them: 1.34 s, 12.5 MiB, +30.1% [+28.0%, +32.2%]."""

from __future__ import annotations

from report.labels import number, one_line, time_unit
from report.verdict import Comparison, Verdict

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
    floor = "" if comparison.floor is None else f" ({_plain(comparison.floor, comparison.unit)})"
    return f"±{comparison.margin:.1%}{floor}" if comparison.margin else "any"


def finding(comparison: Comparison, width: int) -> str:
    """The change; where there is none, or only an estimate of it, why, in at most `width`."""
    if comparison.verdict is Verdict.NOT_MEASURABLE and comparison.change is not None:
        return f"about {change(comparison)}; {one_line(comparison.reason, width)}"
    return (
        change(comparison) if comparison.change is not None else one_line(comparison.reason, width)
    )


def count(comparison: Comparison) -> str:
    """What the verdict rests on: pairs, of which more may be wanted, or seeds, or rounds."""
    if comparison.rounds is not None:
        sides = dict.fromkeys(comparison.rounds)
        return f"{' and '.join(map(str, sides))} rounds"
    many = str(len(comparison.pairs))
    if comparison.progress is not None:
        many = "{} of {}".format(*comparison.progress)
    return f"{many} seeds" if comparison.kind == "accuracy" else many


def verdict(comparison: Comparison) -> str:
    """The verdict, and that it does not fail the job where its gate is soft."""
    red = comparison.verdict in ("REGRESSED", "OOM_NEW", "FAILED")
    return (
        f"{comparison.verdict} (soft)" if red and comparison.gate == "soft" else comparison.verdict
    )


def _plain(value: float, unit: str) -> str:
    """An amount without needless zeros: 20 µs, 8 MiB."""
    size, _, name = amount(value, unit).partition(" ")
    return f"{float(size.replace(',', '')):g} {name}"


def _signed(value: float, absolute: bool) -> str:
    if absolute:
        return f"{value:+.4f}"
    return f"{value:+.1%}" if abs(value) < 9.995 else f"×{1 + value:,.1f}"
