"""Latencies of several processes are one sample, and how far the processes lie apart is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.cell import Cell
from bench.findings import Findings
from bench.journal import Journal
from bench.pool import pooled
from bench.runner import Runner
from bench.steadiness import asks_again
from measure.histogram import Histogram
from measure.quantile import percentile_metrics
from measure.record import Metric

CELL = Cell("sasrec", "recommend", "synthetic_u60_i50_n20", "all", 16, 1, requests=300, processes=2)


def one(seconds: float, count: int = 300, **changes: object) -> Findings:
    latencies = [seconds] * count
    rate = Metric(1 / seconds, "1/s", "higher", "time", "users / sum", n=count)
    found = Findings(
        metrics=percentile_metrics(latencies) | {"users_per_second": rate},
        samples={"latency_block_p50": [seconds] * 10},
        raw={"latency": latencies},
        histograms={"latency": Histogram.of(latencies).to_dict()},
        phases={"measured": seconds * count},
    )
    return replace(found, **changes)


def test_percentiles_are_over_all_requests() -> None:
    parts = [one(1e-3), one(1e-3), one(3e-3, flags=["contended"])]
    found = pooled(replace(CELL, processes=3), parts)
    assert found.metrics["latency_p50"].value == 1e-3
    assert found.metrics["latency_p90"].value == 3e-3
    assert found.metrics["latency_p50"].n == 900
    assert found.metrics["latency_p50"].method.endswith("over 3 processes")
    assert found.metrics["users_per_second"].value == pytest.approx(900 / 1.5)
    assert Histogram.from_dict(found.histograms["latency"]).total == 900
    assert found.samples["latency_process_p99"] == [1e-3, 1e-3, 3e-3]
    assert len(found.samples["latency_block_p50"]) == 30
    assert found.flags == ["contended"]
    assert found.phases["measured"] == pytest.approx(1.5)
    assert parts[0].metrics["latency_p50"].n == 300, "a part stays as it was"


def test_processes_that_differ_are_not_measured_again_for_it() -> None:
    apart = [one(seconds) for seconds in (1e-3, 1.06e-3, 1e-3, 1.06e-3, 1e-3)]
    assert not asks_again([pooled(replace(CELL, processes=5), apart)])
    changed = one(1e-3, samples={"latency_block_p50": [1.08e-3] * 5 + [1e-3] * 5})
    assert asks_again([pooled(CELL, [changed, changed])])


def test_how_far_processes_lie_apart_needs_enough_of_each() -> None:
    apart = pooled(CELL, [one(1e-3), one(3e-3)]).metrics
    assert apart["latency_p99_apart"].value == pytest.approx(2**0.5 / 2)
    few = pooled(CELL, [one(1e-3), one(3e-3, 298)]).metrics
    assert few["latency_p99_apart"].value is None
    assert (
        few["latency_p99_apart"].reason == "p99 needs at least 299 samples a process, there are 298"
    )
    assert few["latency_p50_apart"].value == pytest.approx(2**0.5 / 2)


def test_one_process_is_what_it_was_and_one_that_failed_is_the_cells() -> None:
    only = one(1e-3)
    assert pooled(CELL, [only]) is only
    late = Findings(status="timeout", reason="no end after 9 s")
    assert pooled(CELL, [only, late]) is late


def test_real_processes_are_pooled(journal_of: Callable[[Cell], Journal]) -> None:
    record = Runner(journal_of(CELL), None, None, 60.0).measure(CELL)
    assert record.status == "ok", record.reason
    assert record.metrics["latency_p99"].n == 600
    assert record.metrics["latency_p99_apart"].value is not None
    assert record.resolved["garbage_collector"] == "off"
    assert len(record.samples["latency_process_p50"]) == record.resolved["processes"] == 2
