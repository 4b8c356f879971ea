"""Cost and energy beside a cell's time; the machine's peak is measured once and kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bench import peaks as peaks_module
from bench import work as work_module
from bench.cell import Cell
from bench.findings import Findings
from bench.peaks import Peaks
from bench.process import run_worker
from bench.work import Work, describe_work
from bench.worker import Request
from measure.energy_source import Source
from measure.roofline import Peak
from workloads.cost import Cost

CELL = Cell(
    "gru4rec", "recommend", "synthetic_u60_i50_n20", "all", 8, 1, backend="torch", requests=60
)
PEAK = Peak("cpu", "float32", 1, 1e12, ((2**20, 1e11),))
WORK = Work(lambda: None, per=0.5, seconds=2.0, cost=Cost(flops=100, bytes=40, calls=4))


def described(energy: str, workload: str = "train_epoch") -> Findings:
    findings = Findings()
    cell = dataclasses.replace(CELL, workload=workload)
    describe_work(cell, WORK, findings, energy=energy)
    return findings


def test_the_cost_stands_beside_the_time() -> None:
    metrics = described("off").metrics
    assert (metrics["flops"].value, metrics["traffic_bytes"].value) == (100, 40)
    assert metrics["working_set"].value == 10
    assert metrics["flops"].kind == "deterministic"


def test_energy_is_switched_off_and_estimated_by_option_only() -> None:
    off = described("off").metrics["energy_per_epoch"]
    assert (off.value, off.source) == (None, "none")
    estimate = described("estimate=65", "rank_all").metrics["energy_per_1k_rec"]
    assert (estimate.value, estimate.source) == (130.0, "estimated_tdp")


def test_a_machine_that_counts_nothing_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "find_source", lambda device: Source("none", "no counter"))
    metric = described("auto").metrics["energy_per_epoch"]
    assert (metric.value, metric.reason, metric.source) == (None, "no counter", "none")


def test_a_counter_that_fails_on_the_way_costs_the_energy_and_not_the_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def __init__(self, source: Source) -> None:
            raise OSError("the driver is gone")

    monkeypatch.setattr(work_module, "find_source", lambda device: Source("rapl", "RAPL"))
    monkeypatch.setattr(work_module, "EnergyMeter", Broken)
    metric = described("auto").metrics["energy_per_epoch"]
    assert metric.value is None
    assert metric.reason == "reading failed: the driver is gone"


def test_a_peak_is_measured_once_and_kept_in_the_runs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Cell] = []

    def measure(cell: Cell, cpus: object) -> Peak:
        asked.append(cell)
        return PEAK

    monkeypatch.setattr(peaks_module, "_measure", measure)
    assert Peaks(tmp_path, "abc").of(CELL) == PEAK
    assert Peaks(tmp_path, "abc").of(CELL) == PEAK
    assert len(asked) == 1
    assert list(json.loads((tmp_path / "peaks-abc.json").read_text())) == ["cpu-float32-1-cpusall"]
    Peaks(tmp_path, "abc").of(dataclasses.replace(CELL, threads=2))
    Peaks(tmp_path, "another machine").of(CELL)
    assert len(asked) == 3
    for _ in range(2):
        Peaks(tmp_path, "abc", (0,)).of(CELL)
        Peaks(tmp_path, "abc", (1,)).of(CELL)
    assert len(asked) == 5, "one core reaches another peak than the next"
    (tmp_path / "peaks-abc.json").write_text('{"cpu-float32-1-cpusall": {"dev')
    assert Peaks(tmp_path, "abc").of(CELL) == PEAK


def test_a_peak_that_fails_is_a_reason_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Cell] = []

    def measure(cell: Cell, cpus: object) -> str:
        asked.append(cell)
        return "no such dtype"

    monkeypatch.setattr(peaks_module, "_measure", measure)
    peaks = Peaks(tmp_path, "abc")
    assert [peaks.of(CELL), peaks.of(CELL)] == ["no such dtype"] * 2
    assert len(asked) == 1
    assert not peaks.path.exists()


def test_a_real_peak_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    found = Peaks(tmp_path, "abc").of(dataclasses.replace(CELL, dtype="no_such_dtype"))
    assert isinstance(found, str)
    assert "no_such_dtype" in found


def test_a_workers_findings_gain_their_shares(tmp_path: Path) -> None:
    request = Request(CELL, "time", tmp_path / "out", tmp_path / "w.pt", CELL.dataset)
    findings = run_worker(request, timeout=120)
    assert findings.status == "ok", findings.reason
    peaks = Peaks(tmp_path, "abc")
    peaks.path.write_text(json.dumps({"cpu-float32-1-cpusall": PEAK.to_dict()}))
    shares, seconds_for_peak = peaks.shares(CELL, findings.metrics)
    assert seconds_for_peak < 1.0
    metrics = findings.metrics | shares
    seconds = metrics["latency_p50"].value or 0.0
    assert metrics["mfu"].value == pytest.approx((metrics["flops"].value or 0) / seconds / 1e12)
    assert metrics["roofline_fraction"].value == max(
        metrics["mfu"].value or 0, metrics["mbu"].value or 0
    )
    assert {"energy_per_1k_rec", "energy_per_1k_rec_net"} <= set(metrics)
