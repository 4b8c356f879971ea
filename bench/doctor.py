"""`python -m bench.doctor`: what this machine can measure, on one screen, and what to do about the
rest.

    python -m bench.doctor --seconds 10 --json

Exit codes: 0 it looked (whatever it found), 2 an option is not right.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.diagnosis import ROOT, Finding, diagnose

SCHEMA = "seqrec-bench/doctor/1"
_MARKS = {"ok": "[green]ok[/]", "limited": "[yellow]limited[/]", "missing": "[red]missing[/]"}
_LEAST, _MOST = 0.1, 600.0


class OptionError(ValueError):
    """A value that is not allowed; the message names it and what is."""


def main(arguments: Sequence[str]) -> int:
    try:
        given = _parse(arguments)
        seconds = _seconds(given.seconds)
        data_dir = _folder(given.data_dir)
    except OptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if sys.stderr.isatty():
        print(f"looking, and measuring noise for {seconds:g} s ...", file=sys.stderr)
    findings = list(diagnose(seconds=seconds, results=Path(given.results_dir), data_dir=data_dir))
    if given.json:
        print(json.dumps(as_json(findings), indent=1, allow_nan=False))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(as_table(findings))
    return 0


def as_json(findings: Sequence[Finding]) -> dict[str, object]:
    """Plain JSON of all findings."""
    return {"schema": SCHEMA, "findings": [dataclasses.asdict(finding) for finding in findings]}


def as_table(findings: Sequence[Finding]) -> Table:
    """What was found, and under it what to do."""
    table = Table(box=box.SIMPLE_HEAD, title="what this machine can measure", title_justify="left")
    for name in ("", "state", "found", "what to do"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        # Names and reasons of the machine are text and no markup.
        texts = [Text(finding.found), Text(finding.advice)]
        table.add_row(finding.name, _MARKS[finding.state], *texts)
    return table


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise OptionError(message)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="python -m bench.doctor", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="for a machine")
    parser.add_argument("--seconds", default="10", help="how long noise is measured (default: 10)")
    parser.add_argument("--results-dir", default=str(ROOT / "results"), help="where runs are kept")
    parser.add_argument("--data-dir", help="folder with data sets, looked in first")
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    if not (re.fullmatch(r"\d{1,3}(\.\d+)?", text) and _LEAST <= float(text) <= _MOST):
        raise OptionError(f"--seconds {text!r}: from {_LEAST:g} to {_MOST:g} seconds are allowed")
    return float(text)


def _folder(text: str | None) -> Path | None:
    if text is not None and not Path(text).is_dir():
        raise OptionError(f"--data-dir {text!r}: no such folder")
    return None if text is None else Path(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
