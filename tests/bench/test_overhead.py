"""A run says where its seconds went, and the parts add up."""

from __future__ import annotations

import time

import pytest

from bench.findings import Findings
from bench.overhead import add_up


def test_a_phase_counts_its_own_seconds_only() -> None:
    findings = Findings()
    with findings.phase("outer"):
        time.sleep(0.02)
        with findings.phase("inner"):
            time.sleep(0.05)
    with findings.phase("inner"):
        time.sleep(0.01)
    assert findings.phases["outer"] == pytest.approx(0.02, abs=0.01)
    assert findings.phases["inner"] == pytest.approx(0.06, abs=0.01)


def test_a_phase_counts_also_when_it_fails() -> None:
    findings = Findings()
    with pytest.raises(ZeroDivisionError), findings.phase("checks"):
        time.sleep(0.02) or 1 / 0  # type: ignore[func-returns-value]
    assert findings.phases["checks"] >= 0.02


def test_the_parts_add_up_to_the_whole() -> None:
    timed = {"interpreter": 1.0, "import_torch": 9.0, "warm_up": 5.0, "measured": 60.0, "exit": 1.0}
    memory = {"imports": 4.0, "data": 1.0, "measured": 6.0, "checks": 3.0, "other": 1.0}
    passes = {"time": timed, "memory": memory, "repeats": {"repeats": 4.0}}
    overhead = add_up(100.0, [passes], compiling=2.0)
    assert (overhead.measured, overhead.necessary, overhead.checks) == (66.0, 22.0, 3.0)
    assert (overhead.repeats, overhead.itself) == (4.0, 5.0)
    parts = overhead.to_dict()
    assert parts.pop("total") == sum(parts.values())
    said = "100 s: measured 66%, warm-up and imports 22%, checks 3%, repeats 4%, suite itself 5%"
    assert str(overhead) == said


def test_a_run_without_any_worker_is_all_suite() -> None:
    assert add_up(2.0, [{"time": {}}]).itself == 2.0
