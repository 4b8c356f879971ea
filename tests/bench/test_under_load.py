"""A server of known speed under load: its rate is found, its latencies are those of its queue."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import under_load
from bench.cell import Cell
from bench.findings import Findings
from bench.under_load import load_server
from measure import load_generator

CELL = Cell("sasrec", "recommend", "ml_1m", "all", 50, 1, requests=3000, scenario="server")
SERVICE = 0.001


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock on which only waiting and serving take time: `virtual.serve`, `virtual.loads`."""
    clock = SimpleNamespace(seconds=50.0, loads=0)
    clock.now = lambda: clock.seconds

    def wait_until(moment: float) -> None:
        clock.seconds = max(clock.seconds, moment)

    def serve(index: int) -> None:
        clock.loads += index == 0
        clock.seconds += SERVICE

    clock.wait_until, clock.serve = wait_until, serve
    monkeypatch.setattr(load_generator, "WallClock", lambda: clock)
    return clock


def measured(cell: Cell, request: Any) -> Findings:
    findings = Findings()
    load_server(cell, request).report(findings)
    return findings


def test_without_a_rate_the_load_is_half_of_what_the_server_does(virtual: SimpleNamespace) -> None:
    metrics = measured(CELL, virtual.serve).metrics
    assert metrics["service_p50"].value == pytest.approx(SERVICE)
    assert metrics["arrival_rate"].value == pytest.approx(500)
    assert metrics["utilization"].value == pytest.approx(0.5, rel=0.1)
    assert metrics["wakeup_p50"].value == pytest.approx(0, abs=1e-9)
    assert metrics["latency_p99"].value > 2 * SERVICE  # a queue, not a row of requests
    assert "throughput_at_p99" not in metrics


def test_a_rate_asked_for_is_the_rate(virtual: SimpleNamespace) -> None:
    findings = measured(dataclasses.replace(CELL, rate=800.0), virtual.serve)
    assert findings.metrics["arrival_rate"].value == 800
    arrivals = np.asarray(findings.raw["arrival"])
    assert len(arrivals) / arrivals[-1] == pytest.approx(800, rel=0.1)
    assert len(findings.raw["latency"]) == len(findings.raw["service"]) == 3000


@pytest.mark.parametrize(("target", "load"), [(0.004, 0.46), (0.0062, 0.65), (0.0105, 0.8)])
def test_the_throughput_at_a_p99_is_where_theory_has_it(
    virtual: SimpleNamespace, target: float, load: float
) -> None:
    """M/D/1's p99 in services: 4.0 at a load of 0.46, 6.3 at 0.65, 10.7 at 0.8."""
    cell = dataclasses.replace(CELL, latency_target=target, batch_size=2, requests=20_000)
    metrics = measured(cell, virtual.serve).metrics
    metric = metrics["throughput_at_p99"]
    users = 2 * load / SERVICE
    assert metric.value == pytest.approx(users, rel=0.12)
    assert metric.lo == metric.value
    assert metric.value < metric.hi <= metric.value + 0.04 * 2 / SERVICE
    assert f"{metric.n} Poisson loads" in metric.method
    assert virtual.loads == metric.n + 1  # one after the other, the search with its confirmation
    assert metrics["latency_p99"].value <= target
    assert metrics["arrival_rate"].value == metric.value / 2


def test_a_rate_that_other_arrivals_miss_is_lowered_until_they_keep_the_target(
    virtual: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search is told that any rate below 900 a second will do."""
    monkeypatch.setattr(under_load, "_meets", lambda cell, request, rate, *_: rate < 900)
    cell = dataclasses.replace(CELL, latency_target=0.0105, requests=20_000)
    metrics = measured(cell, virtual.serve).metrics
    metric = metrics["throughput_at_p99"]
    assert metrics["latency_p99"].value <= 0.0105
    assert metric.value == metrics["arrival_rate"].value < 880
    assert metric.hi == pytest.approx(metric.value / 0.97)


def test_a_rate_that_nothing_confirms_is_none(
    virtual: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_load, "_meets", lambda *_: True)
    metrics = measured(dataclasses.replace(CELL, latency_target=0.002), virtual.serve).metrics
    assert metrics["throughput_at_p99"].value is None
    assert "p99 was over 2 ms at" in metrics["throughput_at_p99"].reason
    assert metrics["arrival_rate"].value == pytest.approx(500)  # half, not what missed the target


def test_a_target_that_a_request_alone_misses_needs_no_search(virtual: SimpleNamespace) -> None:
    metrics = measured(dataclasses.replace(CELL, latency_target=0.0005), virtual.serve).metrics
    assert metrics["throughput_at_p99"].value is None
    assert metrics["throughput_at_p99"].reason == "a request alone takes 1 ms, the target is 0.5 ms"
    assert metrics["latency_p50"].value is not None  # at half load, which is said
    assert virtual.loads == 2


def test_a_target_that_is_met_at_no_rate_says_how_far_it_looked(virtual: SimpleNamespace) -> None:
    def uneven(index: int) -> None:
        virtual.serve(index)
        virtual.seconds += 0.02 if index % 20 == 0 else 0.0

    metric = measured(dataclasses.replace(CELL, latency_target=0.004), uneven).metrics[
        "throughput_at_p99"
    ]
    assert metric.value is None
    assert "p99 was over 4 ms at" in (metric.reason or "")


def test_too_few_requests_for_a_p99_search_nothing(virtual: SimpleNamespace) -> None:
    cell = dataclasses.replace(CELL, latency_target=0.004, requests=100)
    metric = measured(cell, virtual.serve).metrics["throughput_at_p99"]
    assert metric.reason == "p99 needs at least 299 requests, there are 100"


def test_a_slow_server_is_not_loaded_for_ever(virtual: SimpleNamespace) -> None:
    def slow(index: int) -> None:
        virtual.serve(index)
        virtual.seconds += 0.2

    findings = measured(dataclasses.replace(CELL, rate=50.0), slow)
    assert len(findings.raw["latency"]) == under_load._FEWEST


def test_in_real_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_load, "_TRIAL_SECONDS", 0.3)

    def serve(index: int) -> None:
        end = time.perf_counter() + 0.0005
        while time.perf_counter() < end:
            pass

    cell = dataclasses.replace(CELL, latency_target=0.5, requests=300)
    findings = measured(cell, serve)
    throughput = findings.metrics["throughput_at_p99"]
    assert throughput.value is not None, "no queue of 300 takes half a second"
    assert 200 < throughput.value < 2000
    assert min(findings.raw["latency"]) >= 0.0005
