"""Workers start side by side and are measured one after the other: each sleeps at its gate."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.cell import Cell
from bench.gate import CAN_WAIT, Gate
from bench.journal import Journal, new_manifest
from bench.process import Worker
from bench.runner import Runner
from bench.worker import Request
from measure.processor import physical_cores
from measure.record import Record

ROOT = Path(__file__).resolve().parents[2]
CELL = Cell(
    "gru4rec", "recommend", "synthetic_u60_i50_n20", "all", 8, 1, backend="torch", requests=60
)
pytestmark = pytest.mark.skipif(not CAN_WAIT, reason="no pipe to ring with on this system")


def request_for(tmp_path: Path, measuring: str = "time") -> Request:
    return Request(CELL, measuring, tmp_path / measuring, tmp_path / "w.pt", CELL.dataset)


def start(gate: Gate, code: str) -> subprocess.Popen[bytes]:
    assert gate.bell is not None
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; from bench.gate import pass_gate; {code}"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        pass_fds=[gate.bell],
    )
    gate.shared()
    return process


def test_a_process_sleeps_at_its_gate_until_it_is_opened() -> None:
    with Gate() as gate:
        process = start(gate, f"pass_gate({gate.bell}); sys.exit(7)")
        assert gate.sleep(20)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        gate.tell(process.stdin)
        assert gate.sleep(20)  # now its end wakes
        assert process.wait(5) == 7


def test_a_process_whose_gate_never_opens_ends() -> None:
    with Gate() as gate:
        process = start(gate, f"pass_gate({gate.bell}); sys.exit(7)")
        assert gate.sleep(20)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(5) == 0


def test_a_death_before_the_gate_wakes_and_telling_the_dead_is_no_error() -> None:
    with Gate() as gate:
        process = start(gate, "sys.exit(3)")
        began = time.monotonic()
        assert gate.sleep(20)
        assert time.monotonic() - began < 10
        assert process.wait(5) == 3
        gate.tell(process.stdin)


def test_no_bell_is_no_gate(tmp_path: Path) -> None:
    text = request_for(tmp_path).dumps()
    command = [sys.executable, "-m", "bench.worker"]
    subprocess.run(command, input=text, text=True, cwd=ROOT, check=True)
    assert json.loads((tmp_path / "time").read_text())["metrics"]["latency_p50"]["n"] == 60


def test_the_second_of_two_workers_sleeps_while_the_first_is_measured(tmp_path: Path) -> None:
    with (
        Worker(request_for(tmp_path), timeout=120) as timed,
        Worker(request_for(tmp_path, "memory"), timeout=120, beside=True) as other,
    ):
        other.load()
        sleeper = psutil.Process(other._process.pid)
        assert "torch" in {Path(m.path).parts[-3] for m in sleeper.memory_maps() if ".so" in m.path}
        before = sleeper.cpu_times()
        first = timed.findings()
        after = sleeper.cpu_times()
        assert sum(after[:2]) - sum(before[:2]) <= 0.02  # a tick or two of the clock
        second = other.findings()
    assert first.metrics["latency_p50"].n == 60
    assert second.metrics["memory_peak"].value
    assert first.phases["import_torch"] > 0.1
    # What it loaded beside the first took no time of its own.
    assert second.phases["import_torch"] == 0
    assert not {"interpreter", "gate"} & second.phases.keys()
    assert second.phases["measured"] > 0


def test_a_worker_that_is_never_let_on_leaves_nothing(tmp_path: Path) -> None:
    with Worker(request_for(tmp_path), timeout=120) as worker:
        worker.load()
        process = psutil.Process(worker._process.pid)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert list(tmp_path.iterdir()) == []


def test_sleeping_takes_nothing_from_a_workers_time(tmp_path: Path) -> None:
    with Worker(request_for(tmp_path), timeout=12) as worker:
        worker.load()
        time.sleep(12.5)
        assert worker.findings().status == "ok"


def test_a_worker_that_hangs_while_it_loads_takes_nothing_from_the_other(tmp_path: Path) -> None:
    with (
        Worker(request_for(tmp_path), timeout=12) as timed,
        Worker(request_for(tmp_path, "memory"), timeout=12, beside=True) as other,
    ):
        psutil.Process(other._process.pid).suspend()
        began = time.monotonic()
        other.load()
        assert 8 < time.monotonic() - began < 17
        assert timed.findings().status == "ok"
        lost = other.findings()
    assert (lost.status, lost.reason) == ("timeout", "not finished after 12 s")
    assert lost.phases.keys() == {"lost"}


def test_a_worker_that_died_while_it_loaded_is_known_at_once(tmp_path: Path) -> None:
    with Worker(request_for(tmp_path), timeout=120) as worker:
        psutil.Process(worker._process.pid).kill()
        began = time.monotonic()
        worker.load()
        assert time.monotonic() - began < 5
        assert worker.findings().reason == "worker died of SIGKILL"


def run_cell(folder: Path, cell: Cell, cpus: tuple[int, ...] | None) -> Record:
    manifest = new_manifest(
        suite="smoke", cells=[cell], argv=[], dataset_line="", data_hashes={}, limits={},
        commit=None, machine={"fingerprint": "x"}, root=folder, order_seed=0,
    )  # fmt: skip
    journal = Journal.open(folder / "results", manifest, fresh=False)
    return Runner(journal, None, None, 120.0, cpus=cpus, parts=False).block(cell, memory=True)


@pytest.mark.skipif(physical_cores() < 2, reason="needs two cores")
def test_a_cells_passes_find_the_same_side_by_side(tmp_path: Path) -> None:
    cell = dataclasses.replace(CELL, workload="train_epoch", batch_size=16, rounds=2)
    apart, beside = (
        run_cell(tmp_path / name, cell, cpus) for name, cpus in (("a", (0,)), ("b", None))
    )
    for record in (apart, beside):
        assert record.status == "ok", record.reason
        assert record.metrics["epoch_time"].value
    counted = [r.metrics["tensor_peak_bytes"].value for r in (apart, beside)]
    assert counted[0] == counted[1]
    # Its own start, where it had to wait for the other's end.
    assert apart.overhead["memory"]["import_torch"] > 0
    assert beside.overhead["memory"]["import_torch"] == 0
