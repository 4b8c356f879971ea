"""The report on a terminal: verdict and counts, what is red, what is undecided, what improved."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from report.amounts import amount, count, finding, margin, verdict
from report.labels import one_line
from report.short_names import short_names
from report.verdict import RED, UNDECIDED, Comparison, Report, Side, Verdict

COLOURS = {
    Verdict.REGRESSED: "bold red",
    Verdict.OOM_NEW: "bold red",
    Verdict.FAILED: "bold red",
    Verdict.NOT_MEASURABLE: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.IMPROVED: "green",
    Verdict.OOM_FIXED: "green",
}
MOST_ROWS = 30
LINE = 1_000  # characters of a line of the small print, such as the command to reproduce
OTHERS = (Verdict.OOM_FIXED, Verdict.NEW, Verdict.REMOVED, Verdict.NOT_COMPARABLE)


def print_report(report: Report, console: Console) -> None:
    """Everything a maintainer needs to decide; unchanged cells are only counted."""
    colour = {0: "bold green", 1: "bold red", 3: "bold yellow"}[report.exit_code]
    colour = colour if report.is_clean or report.exit_code else "bold yellow"
    console.print(Text(report.headline, style=colour), soft_wrap=True)
    console.print(Text(one_line(report.design, LINE)), soft_wrap=True)
    shown = [report.of(chosen) for chosen in (RED, UNDECIDED, (Verdict.IMPROVED,), OTHERS)]
    names, shared = short_names([row.cell_id for rows in shown for row in rows])
    if shared:
        console.print(Text(one_line(f"cells below: {shared}, and", LINE)), soft_wrap=True)
    for rows in shown:
        _print_rows(rows, names, console)
    commands = [f"to decide: {command}" for command in to_decide(report)]
    for line in (*report.notes, *facts(report), *commands):
        console.print(Text(one_line(line, LINE)), soft_wrap=True)


def facts(report: Report) -> list[str]:
    """The small print, one line each: sides, noise, how to reproduce."""
    sides = (("base", report.base), ("head", report.head))
    return [
        *[f"{name}: {_side(side)}" for name, side in sides],
        f"noise floor: {report.noise}",
        f"reproduce: {report.command}",
    ]


def to_decide(report: Report) -> list[str]:
    """The commands that would decide what is undecided."""
    return list(dict.fromkeys(c.decide for c in report.of(UNDECIDED) if c.decide))[:3]


def _side(side: Side) -> str:
    started = f"; started {side.started}" if side.started else ""
    return f"{side.label}, commit {side.commit}; {side.machine}{started}"


def _print_rows(rows: list[Comparison], names: Mapping[str, str], console: Console) -> None:
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("verdict", "cell", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("base", "head", "change", "margin"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("n", justify="right", max_width=8)  # "3 of 10 seeds" is two lines
    for row in rows[:MOST_ROWS]:
        table.add_row(
            Text(verdict(row), style=COLOURS.get(row.verdict, "")),
            Text(one_line(names[row.cell_id], 80)),
            Text(one_line(row.metric, 80)),
            Text(one_line(amount(row.base, row.unit), 40)),
            Text(one_line(amount(row.head, row.unit), 40)),
            Text(finding(row, 60)),
            margin(row),
            count(row),
        )
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"and {len(rows) - MOST_ROWS:,} more; --json FILE has all")
