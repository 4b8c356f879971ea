"""Plants one change after the other in a clone of this checkout and asks for a report on it:
`python -m tests.planted`, or `tox -e planted`.

Prints what was planted, whether it was found with nothing else red, by how many pairs and in how
many minutes; exit code 1 where one was missed. Options that it does not know, such as `--cpus 0`,
go to regression_report.py.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.ab.sides import KERNELS, share_compiled
from measure.git import git
from tests.planted.plants import PLANTS, Plant

ROOT = Path(__file__).resolve().parent.parent.parent
ME = ("-c", "user.name=planted", "-c", "user.email=planted@localhost")
RED = ("REGRESSED", "FAILED", "OOM_NEW")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="plants whose name holds this text")
    parser.add_argument("--time-limit", default="10m", help="of each plant (default: 10m)")
    parser.add_argument("--times", type=int, default=1, help="plant each so often (default: 1)")
    parser.add_argument("--json", type=Path, help="write the table's rows there")
    parser.add_argument("--reports", type=Path, help="keep each report there, as Markdown")
    given, others = parser.parse_known_args()
    plants = [plant for plant in PLANTS if given.only in plant.name] * given.times
    rows = []
    with tempfile.TemporaryDirectory(prefix="seqrec-planted-") as name:
        suite = Path(name) / "suite"
        git(ROOT, "clone", "--quiet", str(ROOT), str(suite), timeout=300)
        share_compiled(ROOT / KERNELS, suite / KERNELS)
        for plant in plants:
            rows.append(_try(plant, suite, given.time_limit, given.reports, others))
            row = rows[-1]
            print(f"{row['planted']}: {row['said']} ({row['minutes']:.1f} min)", flush=True)
    _show(rows)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["found"] for row in rows) else 1


def plant_in(suite: Path, plant: Plant) -> None:
    """Make the change and commit it."""
    for file, old, new in plant.edits:
        path = suite / file
        text = path.read_text()
        assert text.count(old) == 1, f"{plant.name}: {file} has {text.count(old)} times {old!r}"
        path.write_text(text.replace(old, new))
    git(suite, "add", "--update")
    git(suite, *ME, "commit", "--quiet", "--message", plant.name)


def _try(
    plant: Plant, suite: Path, limit: str, reports: Path | None, others: list[str]
) -> dict[str, Any]:
    began = time.monotonic()
    plant_in(suite, plant)
    verdicts = suite / "verdicts.json"
    verdicts.unlink(missing_ok=True)
    command = [sys.executable, "regression_report.py", "--ab=HEAD~1", "--head=HEAD"]
    command += [f"--time-limit={limit}", f"--json={verdicts}", *plant.cells, *others]
    if reports is not None:
        kept = reports.resolve() / f"{re.sub(r'[^a-z0-9]+', '-', plant.name)}.md"
        command.append(f"--markdown={kept}")
    done = subprocess.run(command, cwd=suite, capture_output=True, text=True)
    git(suite, "reset", "--quiet", "--hard", "HEAD~1")
    minutes = (time.monotonic() - began) / 60
    row: dict[str, Any] = {"planted": plant.name, "minutes": minutes, "code": done.returncode}
    if not verdicts.exists():
        return row | {"found": False, "said": (done.stderr or done.stdout)[-300:], "pairs": 0}
    found = json.loads(verdicts.read_text())["comparisons"]
    row |= _judge(plant, found)
    if not plant.moved and done.returncode != 0:  # nothing planted: the report has to pass
        row |= {"found": False, "said": f"exit code {done.returncode}"}
    return row


def _judge(plant: Plant, found: list[dict[str, Any]]) -> dict[str, Any]:
    red = [c for c in found if c["verdict"] in RED]
    right = [
        [c for c in red if part in c["cell_id"] and c["metric"] == metric]
        for part, metric in plant.moved
    ]
    missed = [at for at, hits in zip(plant.moved, right, strict=True) if not hits]
    wrong = [
        f"{c['cell_id']} {c['metric']} {c['verdict']}"
        for c in red
        if not any(c in hits for hits in right)
        and not any(part in c["cell_id"] for part in plant.may_move)
    ]
    odd = [c for hits in right for c in hits if c["verdict"] != plant.verdict]
    said = "; ".join(_said(hits[0]) for hits in right if hits) or "nothing red"
    if missed:
        said += f"; MISSED {missed}" + _undecided(found, missed)
    if wrong or odd:
        said += f"; WRONG {wrong + [_said(c) for c in odd]}"
    pairs = max((len(c["pairs"]) for hits in right for c in hits), default=0)
    return {"found": not (missed or wrong or odd), "said": said, "pairs": pairs}


def _undecided(found: list[dict[str, Any]], missed: list[tuple[str, str]]) -> str:
    """What was said instead of red."""
    said = [
        _said(c) + f" ({c['reason']})"
        for c in found
        if any(part in c["cell_id"] and c["metric"] == metric for part, metric in missed)
    ]
    return f" {said}" if said else ""


def _said(comparison: dict[str, Any]) -> str:
    change = comparison["change"]
    shown = "+.3f" if comparison.get("absolute") else "+.1%"
    sized = "" if change is None else f" {change:{shown}}"
    return f"{comparison['metric']} {comparison['verdict']}{sized}"


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table("planted", "found", "verdict", "pairs", "minutes")
    for row in rows:
        found = "yes" if row["found"] else "NO"
        table.add_row(
            row["planted"], found, row["said"], str(row["pairs"]), f"{row['minutes']:.1f}"
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
