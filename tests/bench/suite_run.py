"""The suite, started as a user starts it, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from measure.record import Record, from_dict

ROOT = Path(__file__).resolve().parent.parent.parent


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "bench/", "--repeats=0"]  # nothing is steady here
    # Started by a worker of pytest-xdist, pytest would take itself for one.
    alone = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    return subprocess.Popen(
        [*command, f"--results-dir={folder / 'results'}", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=alone | {"SEQREC_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def records_of(folder: Path) -> dict[str, Record]:
    content = json.loads((folder / "run.json").read_text())["seqrec_bench"]
    return {r.cell_id: r for r in map(from_dict, content["records"])}
