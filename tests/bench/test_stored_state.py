"""What keeping a state costs is timed in windows that are long beside the clock's own call."""

from __future__ import annotations

from statistics import median

import pytest

import data
from bench import stored_state
from bench.findings import Findings
from bench.stored_state import measure_stored_state
from measure.clock import now
from workloads.serve_step import ServeStep
from workloads.setting import Setting
from workloads.state_store import StateStore


@pytest.fixture
def workload() -> ServeStep:
    made = ServeStep(Setting("gru4rec", data.load("synthetic_u60_i50_n20"), "all", 8, 1))
    made.prepare()
    return made


def spend(seconds: float) -> None:
    end = now() + seconds
    while now() < end:
        pass


@pytest.mark.parametrize(("seconds", "windows"), [(50e-6, 100), (0.1, 10)])
def test_calls_are_timed_many_at_a_time_and_long_ones_alone(
    workload: ServeStep, monkeypatch: pytest.MonkeyPatch, seconds: float, windows: int
) -> None:
    lasted, true_window = [], stored_state._window

    def window(*args: object) -> float:
        lasted.append(true_window(*args))
        return lasted[-1]

    monkeypatch.setattr(stored_state, "_window", window)
    monkeypatch.setattr(StateStore, "put", lambda *args: spend(seconds))
    monkeypatch.setattr(StateStore, "num_bytes", 576)
    monkeypatch.setattr(StateStore, "users_per_gb", 1.0)
    monkeypatch.setattr(StateStore, "get", lambda *args: spend(2e-3))
    findings = Findings()
    measure_stored_state(workload, findings)
    saved = findings.samples["state_save_time"]
    assert windows / 5 < len(saved) <= windows
    metric = findings.metrics["state_save_time"]
    assert metric.value == pytest.approx(median(saved))
    assert seconds <= metric.value < 10 * seconds
    # What is kept as a sample came from a window of a millisecond or more.
    assert min(lasted[-len(saved) :]) >= 1e-3


def test_a_real_state_is_saved_and_restored_in_microseconds(workload: ServeStep) -> None:
    findings = Findings()
    measure_stored_state(workload, findings)
    for name in ("state_save_time", "state_restore_time"):
        assert 1e-7 < findings.metrics[name].value < 5e-3
        assert findings.metrics[name].n == len(findings.samples[name]) > 10
