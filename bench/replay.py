"""pytest-benchmark shows what a worker measured: its samples are played back through a virtual
clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.findings import played_back
from bench.headline import headline
from measure.record import Record

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


class WorkerClock:
    """A timer that stands still until a sample is played back."""

    __name__ = "worker_clock"  # pytest-benchmark writes the timer's name into its options

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


CLOCK = WorkerClock()


def replay(benchmark: BenchmarkFixture, record: Record) -> None:
    """Hand the record's samples to pytest-benchmark; a cell without a time fails or skips with its
    reason.
    """
    reason = f"recorded {record.cell_id}: {headline(record)}"
    if record.status in ("error", "incorrect", "timeout"):
        pytest.fail(reason, pytrace=False)
    if record.status != "ok":
        pytest.skip(reason)
    workload, scenario = record.config["workload"], record.config.get("scenario", "single_stream")
    samples = record.samples[played_back(record.config)]
    left = iter(samples)
    way = "" if scenario == "single_stream" else f" {scenario}"
    benchmark.group = f"{workload}{way} {record.config['dataset']}"
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: CLOCK.advance(next(left, 0.0)), rounds=len(samples), iterations=1, warmup_rounds=0
    )
    benchmark.extra_info.update(record.summary())
