"""Print what a run measured and draw its figures: python plot_results.py results/run.json

Takes the suite's benchmark JSON or a run folder, several of them to see runs side by side. Exit
code 2 and one line on stderr where a file can't be used; then nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from report.finding import findings
from report.load import InputError, load_runs
from report.save import ALLOWED, FORMATS, save_figures
from report.table import print_table


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        runs = load_runs(arguments.files)
        saved = save_figures(runs, arguments.out, arguments.format)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {arguments.out}: figures can't be written: {error}", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    print_table(runs, console)
    for line in ["", *findings(runs), *saved.in_words(arguments.out)]:
        console.print(Text(line), soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="benchmark JSON files or run folders")
    parser.add_argument("--out", type=Path, default=Path("plots"), help="folder for the figures")
    parser.add_argument(
        "--format",
        type=_formats,
        default=FORMATS,
        help="png, svg, pdf, or several with commas (default: png,svg)",
    )
    return parser


def _formats(text: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(chosen) <= set(ALLOWED):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are {', '.join(ALLOWED)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
