"""The command line of `python regression_report.py BASE HEAD`: reads, judges, writes, exits.

Exit codes: 0 pass, 1 confirmed regression, 2 bad input, 3 not decided: not measurable, out of time,
or, with --strict, inconclusive; 4 a fault of this program.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from report.load import InputError
from report.margins import ROOT, is_hosted, load_margins
from report.noise_file import read_noise
from report.outputs.bencher import bencher
from report.outputs.explanation import explain
from report.outputs.github_action_benchmark import github_action_benchmark
from report.outputs.junit import junit
from report.outputs.markdown import COMMENT_BYTES, markdown, no_report
from report.outputs.otava import otava
from report.outputs.terminal import print_report
from report.outputs.verdict_json import verdict_json
from report.two_files import compare_files
from report.verdict import Report

WRITERS: dict[str, tuple[Callable[[Report], str], str]] = {
    "markdown": (markdown, "Markdown for a job's summary, under 1 MB"),
    "comment": (lambda report: markdown(report, COMMENT_BYTES), "Markdown for a comment, 64 kB"),
    "junit": (junit, "JUnit XML"),
    "json": (verdict_json, "everything, after report/schemas/verdict-1.json"),
    "bmf": (bencher, "Bencher Metric Format"),
    "github-action-benchmark": (github_action_benchmark, "its tool customSmallerIsBetter"),
    "otava": (otava, "CSV for Apache Otava"),
}
FIGURES = (".png", ".svg", ".pdf")
PYPROJECT = ROOT / "pyproject.toml"
EPILOG = """\
three ways to compare, each with a --help of its own:
  regression_report.py BASE HEAD           two result files or run folders
  regression_report.py --ab BASE_REF       this checkout and what it has in common with BASE_REF,
                                           measured in turn (--ab main --help)
  regression_report.py --history [RESULT]  commit by commit: where levels changed (--history --help)

exit codes: 0 pass, 1 regression, 2 bad input, 3 not decided, 4 a fault of this program
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print and write; the exit code."""
    arguments = parser().parse_args(argv)
    try:
        noise = read_noise(arguments.noise) if arguments.noise else ()
        margins = load_margins(arguments.margins, noise, hosted=arguments.hosted)
        given = [("--noise", arguments.noise), ("--margins", arguments.margins)]
        told = [(name, str(path)) for name, path in given if path not in (None, PYPROJECT)]
        report = compare_files(
            arguments.base,
            arguments.head,
            margins,
            strict=arguments.strict,
            options=[word for pair in told for word in pair],
        )
    except InputError as error:
        return refuse(str(error), arguments)
    try:
        return conclude(report, arguments)
    except InputError as error:  # what is written already stays
        print(f"error: {error}", file=sys.stderr)
        return 2


def conclude(report: Report, arguments: argparse.Namespace) -> int:
    """Show the report, write what was asked for; the exit code."""
    write_outputs(report, arguments)
    console = _Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if arguments.explain:
        lines = explain(report, arguments.explain)
        if not lines:
            raise InputError(Path(arguments.explain), "no such cell in either side")
    with contextlib.suppress(BrokenPipeError):  # who reads no further knows enough
        if arguments.explain:
            for line in lines:
                console.print(Text(line), soft_wrap=True)
        else:
            print_report(report, console)
        sys.stdout.flush()
        return report.exit_code
    leave_unread()
    return report.exit_code


def refuse(reason: str, arguments: argparse.Namespace) -> int:
    """Bad input: say why, also where people look for the report; the exit code."""
    print(f"error: {reason}", file=sys.stderr)
    for path in (arguments.markdown, arguments.comment):
        if path is not None:
            with contextlib.suppress(InputError):  # it may be the one that can't be written
                _write(path, no_report(reason))
    return 2


def leave_unread() -> None:
    """What nobody reads goes nowhere: at its end Python writes the rest, or says that it can't."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Console(Console):
    """rich's own ends the program with 1, which here is a regression."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def write_outputs(report: Report, arguments: argparse.Namespace) -> None:
    """Each file that was asked for, whole or not at all; InputError where it can't be written."""
    for name, (write, _) in WRITERS.items():
        path = getattr(arguments, name.replace("-", "_"))
        if path is not None:
            _write(path, write(report))
    if arguments.figure is not None:
        # Drawing takes a second to import; only who wants a figure waits for it.
        from report.outputs.pair_plot import save_pair_plot

        try:
            save_pair_plot(report, arguments.figure)
        except OSError as error:
            raise InputError(arguments.figure, f"can't be written: {error}") from error


def add_output_options(group: argparse._ArgumentGroup) -> None:
    """The options for outputs; shared by all ways of comparing."""
    for name, (_, words) in WRITERS.items():
        group.add_argument(f"--{name}", type=Path, metavar="FILE", help=words)
    group.add_argument("--figure", type=figure_file, metavar="FILE", help="dot plot of what moved")
    group.add_argument("--explain", metavar="CELL", help="how one cell's verdicts were reached")


def without_outputs(words: Sequence[str]) -> list[str]:
    """A command line without the files that it writes."""
    options = [f"--{name}" for name in (*WRITERS, "figure")]
    kept = [word for word in words if word.partition("=")[0] not in options or word in options]
    files = {place + 1 for place, word in enumerate(kept) if word in options}
    return [w for place, w in enumerate(kept) if w not in options and place not in files]


def add_hosted_option(made: argparse.ArgumentParser) -> None:
    """--hosted, which the environment of a hosted runner sets by itself."""
    made.add_argument(
        "--hosted",
        action=argparse.BooleanOptionalAction,
        default=is_hosted(),
        help="a shared runner of a CI service: 10%% of time is the margin (found by itself)",
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="regression_report.py",
        description="Did it get slower, larger or less accurate? One verdict a cell and metric.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("base", type=Path, help="result file or run folder of the old code")
    made.add_argument("head", type=Path, help="result file or run folder of the new code")
    made.add_argument(
        "--strict", action="store_true", help="exit code 3 when a hard gate is inconclusive"
    )
    made.add_argument("--noise", type=Path, metavar="FILE", help="this machine's noise floor")
    made.add_argument("--margins", type=Path, metavar="TOML", default=PYPROJECT, help="its margins")
    add_hosted_option(made)
    add_output_options(made.add_argument_group("outputs"))
    return made


def figure_file(text: str) -> Path:
    """A path that a figure can have."""
    path = Path(text)
    if path.suffix not in FIGURES:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are {', '.join(FIGURES)}")
    return path


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{path.name}.tmp")
        half.write_text(text, encoding="utf-8")
        os.replace(half, path)
    except OSError as error:
        raise InputError(path, f"can't be written: {error.strerror or error}") from error
