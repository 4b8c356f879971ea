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
from report.command import add_hosted_option, figure_file
from report.history import append, read
from report.labels import one_line
from report.load import InputError
from report.margins import ROOT, load_margins


def main(argv: Sequence[str]) -> int:
    """Exit code 0, or 2 for bad input; a new level is for people to look at, and fails nothing."""
    given = _parser().parse_args(argv)
    try:
        margins = load_margins(given.margins, hosted=given.hosted)
        for path in given.history:
            count = append(path, given.history_dir, margins, allow_dirty=given.allow_dirty)
            print(f"{path}: {count} cells added")
        series, warnings = read(given.history_dir)
        found = [point for one in series for point in change_points(one, margins)]
        found.sort(key=lambda point: (not point.worse, -abs(point.change)))
        if given.figure is not None:
            _draw(found, given.figure)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    long = sum(len(one.points) >= FEWEST_POINTS for one in series)
    print(
        f"{len(series)} series, {long} of {FEWEST_POINTS} points or more: {len(found)} new levels"
    )
    if found:
        _show(found)
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="regression_report.py",
        description="What was measured, commit by commit, and where levels changed.",
    )
    made.add_argument("--history", nargs="*", type=Path, metavar="RESULT", help="results to add")
    made.add_argument("--history-dir", type=Path, default=ROOT / "history", metavar="FOLDER")
    made.add_argument("--allow-dirty", action="store_true", help="add uncommitted states too")
    made.add_argument("--margins", type=Path, metavar="TOML", default=ROOT / "pyproject.toml")
    made.add_argument("--figure", type=figure_file, metavar="FILE", help="the worst few series")
    add_hosted_option(made)
    return made


def _draw(found: list[ChangePoint], path: Path) -> None:
    # Drawing takes a second to import; only who wants a figure waits for it.
    from report.outputs.history_plot import save_history_plot

    try:
        if not save_history_plot(found, path):
            print(f"{path}: not drawn, no level changed")
    except OSError as error:
        raise InputError(path, f"can't be written: {error.strerror or error}") from error


def _show(found: list[ChangePoint]) -> None:
    table = Table(box=None)
    for heading in ("machine", "cell", "metric", "change", "between commits", ""):
        table.add_column(heading, overflow="fold")
    for point in found:
        series = point.series
        words = (
            series.machine,
            one_line(series.title, 300),
            one_line(series.metric, 100),
            f"{point.change:+.1%}",
            one_line(f"{point.before[:12]}..{point.after[:12]}", 40),
            _direction(point),
        )
        table.add_row(*(Text(word) for word in words))
    Console(highlight=False).print(table)


def _direction(point: ChangePoint) -> str:
    word = "worse" if point.worse else "better"
    return f"{word}, in one commit: not the code" if point.before == point.after else word
