"""Print what a run measured and draw its figures, or write them as one page that answers questions.

    python plot_results.py results/run.json           a table here, figures in plots/
    python plot_results.py --page results/run.json    one HTML file: results/page.html

Takes the suite's benchmark JSON or a run folder, several of them to see runs side by side; without
any the newest of results/*.json, else the reference runs. Exit code 2 and one line on stderr where
a file can't be used; then nothing is written.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from report.borrowed import borrow
from report.finding import finding, findings
from report.load import InputError, Run, load_runs
from report.save import ALLOWED, FORMATS, save_figures
from report.table import print_table

PAGE = Path("results/page.html")
PLOTS = Path("plots")
_PAGE_COMMAND = ("python", "plot_results.py", "--page")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    out = arguments.out or (PAGE if arguments.page else PLOTS)
    try:
        files = arguments.files or default_files(Path("results"))
        lenders = arguments.accuracy
        if lenders and not arguments.page:
            raise PageError("--accuracy belongs to --page; figures take several files as they are")
        runs = load_runs([*files, *lenders])
        if arguments.page:
            lines = _write_page(runs[: len(files)], runs[len(files) :], out)
        else:
            lines = _draw(runs, out, arguments.format)
    except (InputError, PageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {out}: can't be written: {error.strerror or error}", file=sys.stderr)
        return 2
    if not arguments.page:
        lines.append(f"One page with a chooser: {shlex.join([*_PAGE_COMMAND, *map(str, files)])}")
    console = Console(highlight=False)
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    return 0


def default_files(results: Path) -> list[Path]:
    """The newest result file, else the reference runs; InputError where there are none."""
    own = sorted(results.glob("*.json"), key=lambda path: path.stat().st_mtime)
    files = own[-1:] or sorted((results / "reference").glob("*.json"))
    if not files:
        raise InputError(results, "no result file; measure one with `pytest bench/` or name one")
    return files


def _write_page(runs: Sequence[Run], lenders: Sequence[Run], out: Path) -> list[str]:
    if out.is_dir():
        raise PageError(f"{out}: a folder; --page writes one file, such as {out / 'page.html'}")
    # Made in a second or two by libraries that drawing figures does without.
    from report.page.build import build_page

    borrowed = [borrow(runs, lender) for lender in lenders]
    runs = [*runs, *(one.run for one in borrowed if one.run)]
    said = finding(runs)
    page = build_page(runs, said)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    lines = [said or "No two models to compare.", *(one.said for one in borrowed)]
    return [*lines, f"Page: {out}, {len(page.encode()) / 1e6:.1f} MB"]


def _draw(runs: Sequence[Run], out: Path, formats: Sequence[str]) -> list[str]:
    saved = save_figures(runs, out, formats)
    print_table(runs, Console(highlight=False))
    return ["", *findings(runs), *saved.in_words(out)]


class PageError(ValueError):
    """A page that can't be made as asked; the message is one line for the user."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="benchmark JSON files or run folders")
    parser.add_argument("--page", action="store_true", help="write one self-contained HTML file")
    parser.add_argument(
        "--accuracy",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="with --page: result files whose fits are shown too, where they are of the same "
        "sequences (results/reference/accuracy-*.json have three seeds to early stopping)",
    )
    parser.add_argument(
        "--out", type=Path, help=f"folder for figures ({PLOTS}), file for the page ({PAGE})"
    )
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
