"""What keeping a user's state costs: its bytes, saving it, restoring it, and users per gigabyte."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.findings import Findings, fact
from measure.clock import Stopwatch, gc_disabled
from measure.quantile import median_metric
from measure.record import Metric, not_measured
from models.states import state_kind
from workloads.serve_step import ServeStep
from workloads.state_store import StateStore

# A call takes microseconds, as reading the clock does: windows of many, in so many seconds at most.
_WINDOW, _WINDOWS, _SECONDS = 2e-3, 100, 1.0


@torch.inference_mode()
def measure_stored_state(workload: ServeStep, findings: Findings) -> None:
    """One user's state through bytes and back, many times; its size counted and by formula."""
    store = StateStore(workload.model)
    with gc_disabled(), findings.phase("measured"):
        saved = _times(lambda: store.put([0], workload.state), workload.setting.device)
        restored = _times(lambda: store.get([0]), workload.setting.device)
    findings.resolved["serving"] = state_kind(workload.model)
    findings.samples |= {"state_save_time": saved, "state_restore_time": restored}
    findings.metrics |= {
        "state_bytes": fact(workload.state_bytes(), "B", "counted, one user"),
        "state_bytes_analytic": _analytic(workload),
        "stored_bytes": fact(store.num_bytes, "B", "one user's saved state, header included"),
        "users_per_gb": fact(store.users_per_gb, "1", "1e9 / stored_bytes", better="higher"),
        "state_save_time": _median(saved, "one user, tensors to bytes"),
        "state_restore_time": _median(restored, "one user, bytes to tensors that step() takes"),
    }


def _analytic(workload: ServeStep) -> Metric:
    if workload.setting.dtype == "float32":
        method = "model.state_bytes(seq_len - 1); checked: equal to what is counted"
        return fact(workload.analytic_state_bytes(), "B", method)
    reason = "the formula is for float32"
    return not_measured(reason, unit="B", better="lower", kind="deterministic")


def _times(work: Callable[[], object], device: str) -> list[float]:
    """Seconds of a call, window by window; how many calls a window needs is tried first."""
    calls = 1
    while _window(work, calls, device) < _WINDOW:
        calls *= 2
    seconds: list[float] = []
    while len(seconds) < _WINDOWS and calls * sum(seconds) < _SECONDS:
        seconds.append(_window(work, calls, device) / calls)
    return seconds


def _window(work: Callable[[], object], calls: int, device: str) -> float:
    """Seconds of so many calls, one after the other."""
    with Stopwatch(device) as watch:
        for _ in range(calls):
            work()
    assert watch.seconds is not None, "the watch has stopped"
    return watch.seconds


def _median(seconds: list[float], what: str) -> Metric:
    method = f"median of windows of about 2 ms, each by its calls, perf_counter_ns; {what}"
    return median_metric(seconds, unit="s", better="lower", kind="time", method=method)
