"""A run whose workers are bound to one of two cores: what dies there ran on that machine too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.options import Options
from bench.session import Session
from measure.machine import describe_machine
from measure.processor import physical_cores
from report.load import load_run
from report.margins import Margins
from report.two_files import compare_files
from report.verdict import Verdict

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or physical_cores() < 2, reason="needs two cores to bind"
)
# In 700 MB a step fits at L = 8, and none at 180.
WORDS = (
    "--suite=smoke", "--model=sasrec", "--workload=train_epoch", "--seq-len=8,180",
    "--batch-size=1024", "--dataset=synthetic_u2000_i50_n200", "--threads=1", "--repeats=0",
)  # fmt: skip


def measured(folder: Path, name: str, *words: str) -> Path:
    """The result file of a start under --cpus with the last of the processors."""
    path = folder / f"{name}.json"
    command = [sys.executable, "-m", "pytest", "bench/", "-p", "no:cacheprovider", *WORDS, *words]
    command += [f"--results-dir={folder / name}", f"--benchmark-json={path}", f"--cpus={last()}"]
    alone = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=300)
    assert path.exists(), done.stdout
    return path


def last() -> int:
    return max(os.sched_getaffinity(0))


@pytest.mark.slow
def test_a_cell_that_newly_dies_of_memory_is_red(tmp_path: Path) -> None:
    base, head = measured(tmp_path, "base"), measured(tmp_path, "head", "--memory-limit=700MB")
    records = {record.config["seq_len"]: record for record in load_run(head).records}
    assert {length: record.status for length, record in records.items()} == {8: "ok", 180: "oom"}
    bound = describe_machine(threads=1, cpus=[last()])
    assert bound["physical_cores"] == 1
    for record in records.values():
        assert record.machine["fingerprint"] == bound["fingerprint"]
    report = compare_files(base, head, Margins())
    assert [c.cell_id for c in report.of([Verdict.OOM_NEW])] == [records[180].cell_id]
    assert report.exit_code == 1


def test_a_run_with_other_processors_is_another_run(options: Callable[..., Options]) -> None:
    keys = []
    for cpus in sorted(os.sched_getaffinity(0)):
        session = Session.prepare(options(suite="smoke", cpus=str(cpus), threads="1"))
        session.begin(session.cells)
        assert session.runner is not None
        manifest = session.runner.journal.manifest
        session.finish()
        assert manifest.machine["physical_cores"] == 1
        keys.append(manifest.key)
    assert len(set(keys)) == len(keys) > 1
