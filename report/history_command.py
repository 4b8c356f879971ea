"""`python regression_report.py --history [results/run.json ...]`: add results to the history of
their machines, then say where levels changed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from report.change_points import FEWEST_POINTS, ChangePoint, change_points
from report.history import append, read
from report.load import InputError
from report.margins import ROOT, load_margins


def main(argv: Sequence[str]) -> int:
    """Exit code 0, or 2 for bad input; a new level is for people to look at, and fails nothing."""
    parser = argparse.ArgumentParser(
        prog="regression_report.py",
        description="What was measured, commit by commit, and where levels changed.",
    )
    parser.add_argument("--history", nargs="*", type=Path, metavar="RESULT", help="results to add")
    parser.add_argument("--history-dir", type=Path, default=ROOT / "history", metavar="FOLDER")
    parser.add_argument("--allow-dirty", action="store_true", help="add uncommitted states too")
    parser.add_argument("--margins", type=Path, metavar="TOML", default=ROOT / "pyproject.toml")
    given = parser.parse_args(argv)
    try:
        margins = load_margins(given.margins)
        for path in given.history:
            count = append(path, given.history_dir, margins, allow_dirty=given.allow_dirty)
            print(f"{path}: {count} cells added")
        series = read(given.history_dir)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = [point for one in series for point in change_points(one, margins)]
    long = sum(len(one.points) >= FEWEST_POINTS for one in series)
    print(
        f"{len(series)} series, {long} of {FEWEST_POINTS} points or more: {len(found)} new levels"
    )
    if found:
        _show(found)
    return 0


def _show(found: list[ChangePoint]) -> None:
    table = Table(box=None)
    for heading in ("machine", "cell", "metric", "change", "between commits", ""):
        table.add_column(heading, overflow="fold")
    for point in sorted(found, key=lambda p: (not p.worse, -abs(p.change))):
        series = point.series
        words = (
            series.machine,
            series.cell_id,
            series.metric,
            f"{point.change:+.1%}",
            f"{point.before[:12]}..{point.after[:12]}",
            "worse" if point.worse else "better",
        )
        table.add_row(*(Text(word) for word in words))
    Console(highlight=False).print(table)
