"""`.ci/compare`, `.ci/nightly`: what stands in the report and in a job's summary, however it ends.

Environments and the comparison itself are played by scripts of one line.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parent.parent.parent / ".ci"
REPORT = Path("results", "report", "report.md")
COMMENT = Path("results", "report", "comment.md")


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A checkout in which every environment can be made."""
    shutil.copytree(CI, tmp_path / ".ci")
    for path in ("path/python3", ".tox/ci/bin/pip", ".tox/ci/bin/tox"):
        script(tmp_path / path, "exit 0")
    (tmp_path / "plots").mkdir()
    return tmp_path


def measures(suite: Path, text: str) -> None:
    """What the comparison does; pins are alike."""
    pins = 'case "$*" in *bench.ab.pins*) exit 0;; esac'
    script(suite / ".tox" / "compare" / "bin" / "python", f"{pins}\n{text}")


def started(suite: Path, *command: str) -> subprocess.Popen[str]:
    path = f"{suite / 'path'}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": path, "GITHUB_STEP_SUMMARY": str(suite / "summary.md")}
    return subprocess.Popen(
        [str(suite / ".ci" / command[0]), *command[1:]],
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def compare(suite: Path) -> int:
    process = started(suite, "compare", "main")
    process.communicate(timeout=30)
    return process.returncode


def stop(process: subprocess.Popen[str], begun: Path) -> None:
    """As a runner cancels a job: it signals the shell alone, and then kills what is left."""
    end = time.monotonic() + 20
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.terminate()
    try:
        assert process.wait(timeout=20) == -signal.SIGTERM
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_a_verdict_is_left_as_it_is(suite: Path) -> None:
    measures(suite, f"echo '### REGRESSION' | tee {COMMENT} >{REPORT}; exit 1")
    assert compare(suite) == 1
    said = [(suite / path).read_text() for path in (REPORT, COMMENT, "summary.md")]
    assert said == ["### REGRESSION\n"] * 3


def test_without_an_environment_an_older_report_is_gone(suite: Path) -> None:
    (suite / REPORT.parent).mkdir(parents=True)
    (suite / REPORT).write_text("### PASS\n")
    script(suite / ".tox" / "ci" / "bin" / "tox", "exit 1")
    assert compare(suite) == 2
    for path in (REPORT, COMMENT, "summary.md"):
        assert (suite / path).read_text().startswith("### No report: the environment")


@pytest.mark.parametrize("code", [4, 137])
def test_a_fault_after_the_report_is_no_pass(suite: Path, code: int) -> None:
    measures(suite, f"echo '### PASS' | tee {COMMENT} >{REPORT}; exit {code}")
    assert compare(suite) == code
    for path in (REPORT, COMMENT, "summary.md"):
        assert (suite / path).read_text().startswith("### No report: the comparison ended")


def test_bad_input_keeps_its_own_words_and_has_some_without(suite: Path) -> None:
    measures(suite, f"echo '### No report: no such commit' >{REPORT}; exit 2")
    assert compare(suite) == 2
    assert (suite / REPORT).read_text() == "### No report: no such commit\n"
    measures(suite, "exit 2")
    assert compare(suite) == 2
    assert "exit code 2" in (suite / REPORT).read_text()


def test_what_is_stopped_says_so(suite: Path) -> None:
    measures(suite, f"touch {suite / 'begun'}; sleep 60")
    process = started(suite, "compare", "main")
    stop(process, suite / "begun")
    for path in (REPORT, COMMENT, "summary.md"):
        assert "stopped before its end" in (suite / path).read_text()


def test_no_base_is_bad_input_and_no_regression(suite: Path) -> None:
    assert started(suite, "compare").wait(timeout=30) == 2


def test_a_night_shows_new_levels_and_keeps_its_first_exit_code(suite: Path) -> None:
    script(
        suite / ".tox" / "bench" / "bin" / "python",
        'case "$*" in *--history*) echo "5 series: 1 new levels"; exit 2;; esac',
    )
    script(suite / ".ci" / "compare", "exit 3")
    process = started(suite, "nightly")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "1 new levels" in said
    assert "5 series: 1 new levels\n```\n" in (suite / "summary.md").read_text()


def test_a_model_file_leaves_its_results_when_it_is_stopped(suite: Path) -> None:
    for folder in ("models", "results", "elsewhere"):
        (suite / folder).mkdir()
    for name in ("old.py", "mine.py"):
        (suite / "elsewhere" / name).write_text(f"# {name}\n")
    pair = "results/ab-1/pair.json"
    measures(suite, f"mkdir results/ab-1; cp models/mine.py {pair}; touch {suite}/begun; sleep 60")
    files = (str(suite / "elsewhere" / name) for name in ("mine.py", "old.py"))
    process = started(suite, "model", next(files), "--base", next(files))
    stop(process, suite / "begun")
    assert (suite / pair).read_text() == "# mine.py\n"
    assert "stopped before its end" in (suite / REPORT).read_text()
