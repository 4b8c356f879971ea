"""A worker that dies, hangs or runs out of memory leaves findings that say so."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import torch

from bench.cell import Cell
from bench.process import end, run_worker, worker_environment
from bench.worker import Request, classify
from models.base import NotSupported
from models.ops.backend import BackendUnavailable
from workloads.reference import Incorrect

ROOT = Path(__file__).resolve().parent.parent.parent
CELL = Cell(
    "gru4rec", "recommend", "synthetic_u60_i50_n20", "all", 8, 1, backend="torch", requests=10
)


def request_for(tmp_path: Path, cell: Cell = CELL, **settings: object) -> Request:
    return Request(cell, "time", tmp_path / "out", tmp_path / "w.pt", cell.dataset, **settings)  # type: ignore[arg-type]


def test_a_worker_gives_its_findings(tmp_path: Path) -> None:
    findings = run_worker(request_for(tmp_path), timeout=9e8)
    assert findings.status == "ok", findings.reason
    assert findings.metrics["latency_p50"].n == 10
    assert len(findings.raw["latency"]) == 10
    assert findings.resolved["torch_threads"] == 1
    assert findings.resolved["has_step"] is True
    assert findings.resolved["allocator"].startswith("glibc, memory kept")
    assert findings.resolved["versions"]["torch"] == version("torch")
    assert {"before", "after", "throttle", "load_before"} <= findings.telemetry.keys()
    assert findings.data["sequence_hash"]
    parts = {
        "interpreter",
        "import_torch",
        "imports",
        "data",
        "warm_up",
        "checks",
        "measured",
        "exit",
    }
    assert parts <= set(findings.phases)
    assert all(seconds >= 0 for seconds in findings.phases.values())
    assert findings.phases["other"] < 0.5


def test_a_worker_killed_by_sigkill_leaves_findings_that_say_so(tmp_path: Path) -> None:
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.05):
            for child in psutil.Process().children():
                if "bench.worker" in " ".join(child.cmdline()):
                    child.send_signal(signal.SIGKILL)
                    return

    killer = threading.Thread(target=kill)
    killer.start()
    findings = run_worker(request_for(tmp_path), timeout=120)
    stop.set()
    killer.join()
    assert findings.status == "error"
    assert findings.reason == "worker died of SIGKILL"


def test_a_worker_past_its_time_is_ended(tmp_path: Path) -> None:
    start = time.monotonic()
    findings = run_worker(request_for(tmp_path), timeout=0.3)
    assert findings.status == "timeout"
    assert findings.reason == "not finished after 0.3 s"
    assert time.monotonic() - start < 5
    assert not [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]


def test_descendants_that_left_the_workers_group_end_with_it(tmp_path: Path) -> None:
    child = "import time; time.sleep(300)"
    code = (
        "import subprocess, sys, time; p = [subprocess.Popen([sys.executable, '-c', sys.argv[1]],"
        "start_new_session=own) for own in (False, True)]; print(*(c.pid for c in p), flush=True);"
        "time.sleep(300)"
    )
    hung = subprocess.Popen(
        [sys.executable, "-c", code, child], stdout=subprocess.PIPE, start_new_session=True
    )
    assert hung.stdout is not None
    children = [psutil.Process(int(pid)) for pid in hung.stdout.readline().split()]
    hung.send_signal(signal.SIGSTOP)  # it can't clean up itself
    end(hung)
    assert hung.returncode == -signal.SIGKILL
    _, alive = psutil.wait_procs(children, timeout=3)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_worker_that_cannot_write_its_findings_is_no_result(tmp_path: Path) -> None:
    request = dataclasses.replace(request_for(tmp_path), out=tmp_path / "absent" / "out")
    with pytest.raises(OSError, match="No such file or directory"):
        run_worker(request, timeout=120)


def test_a_worker_out_of_memory_says_so_and_leaves_the_parent_alive(tmp_path: Path) -> None:
    cell = dataclasses.replace(CELL, model="sasrec", seq_len=512, batch_size=4096)
    findings = run_worker(request_for(tmp_path, cell, memory_limit=10**9), timeout=120)
    assert findings.status == "oom"
    assert "memory" in (findings.reason or "")
    assert "Traceback" in (findings.details or "")


def test_an_error_in_a_worker_keeps_its_traceback(tmp_path: Path) -> None:
    cell = dataclasses.replace(CELL, dataset="no_such_data")
    findings = run_worker(request_for(tmp_path, cell), timeout=120)
    assert findings.status == "error"
    assert "no_such_data" in (findings.reason or "")
    assert "DataError" in (findings.details or "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_unsupported_and_never_replaced(tmp_path: Path) -> None:
    findings = run_worker(
        request_for(tmp_path, dataclasses.replace(CELL, device="cuda")), timeout=120
    )
    assert findings.status == "unsupported"
    assert "no CUDA device" in (findings.reason or "")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotSupported("no state"), "unsupported"),
        (BackendUnavailable("no kernel"), "unsupported"),
        (Incorrect("off by 1"), "incorrect"),
        (MemoryError(), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), "oom"),
        (ValueError("something else"), "error"),
        (RuntimeError(""), "error"),
    ],
)
def test_each_failure_has_its_status_and_a_reason(error: Exception, status: str) -> None:
    found, reason = classify(error)
    assert found == status
    assert reason


def test_time_and_memory_passes_have_their_own_allocator(tmp_path: Path) -> None:
    timed = worker_environment(request_for(tmp_path))
    memory = worker_environment(dataclasses.replace(request_for(tmp_path), measuring="memory"))
    asked = worker_environment(request_for(tmp_path, allocator="system"))
    assert timed["MALLOC_MMAP_MAX_"] == "0"
    assert "MALLOC_MMAP_MAX_" not in memory
    assert "MALLOC_MMAP_MAX_" not in asked
    assert timed["OMP_NUM_THREADS"] == "1"


def test_a_worker_counts_gpus_in_nvmls_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert worker_environment(request_for(tmp_path))["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_request_survives_its_journey(tmp_path: Path) -> None:
    request = request_for(tmp_path, data_dir=tmp_path, memory_limit=5)
    assert Request.loads(request.dumps()) == request


def test_weights_are_part_of_the_memory_that_is_measured(tmp_path: Path) -> None:
    cell = dataclasses.replace(
        CELL, workload="train_epoch", dataset="synthetic_u300_i40000_n60", batch_size=4
    )
    request = dataclasses.replace(request_for(tmp_path, cell), measuring="memory")
    findings = run_worker(request, timeout=120)
    assert findings.status == "ok", findings.reason
    weights = 4 * 64 * 40_000
    assert (findings.metrics["memory_weights"].value or 0) > 0.9 * weights
    # Weights, their gradient, and Adam's two means are all alive at the second step.
    assert (findings.metrics["memory_peak"].value or 0) > 0.9 * 4 * weights
    parts = sum(
        findings.metrics[f"memory_{p}"].value or 0
        for p in ("weights", "batch", "forward", "backward", "optimizer")
    )
    assert parts == findings.metrics["memory_peak"].value


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal is Linux's")
@pytest.mark.parametrize("seconds", [0.05, 0.4, 1.0])
def test_a_worker_dies_with_its_parent_at_any_moment(tmp_path: Path, seconds: float) -> None:
    cell = dataclasses.replace(CELL, requests=10**6)
    code = (
        "import sys, threading, os; from bench.process import end, run_worker;"
        "from bench.worker import Request;"
        f"threading.Timer({seconds}, lambda: os.kill(os.getpid(), 9)).start();"
        "run_worker(Request.loads(sys.stdin.read()), timeout=100)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, text=True
    )
    parent.communicate(request_for(tmp_path, cell).dumps())
    assert parent.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and _orphans():
        time.sleep(0.05)
    assert not _orphans()


def _orphans() -> list[int]:
    """Workers whose parent is gone."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "bench.worker" in " ".join(process.info["cmdline"] or []) and process.ppid() == 1:
            found.append(process.pid)
    return found


def test_counted_tensors_are_the_same_with_other_threads_and_add_up(tmp_path: Path) -> None:
    found = []
    for threads in (1, 2):
        cell = dataclasses.replace(
            CELL, workload="train_epoch", backend="auto", batch_size=32, threads=threads
        )
        findings = run_worker(
            dataclasses.replace(request_for(tmp_path, cell), measuring="memory"), timeout=120
        )
        assert findings.status == "ok", findings.reason
        names = ("tensor_peak_bytes", "saved_bytes", "logits_bytes")
        counted = {
            name: metric.value or 0
            for name, metric in findings.metrics.items()
            if name.startswith("tensor_") or name in names
        }
        phases = ("weights", "batch", "forward", "backward", "optimizer")
        parts = sum(counted[f"tensor_{phase}_bytes"] for phase in phases)
        assert parts == pytest.approx(counted["tensor_peak_bytes"], rel=0.02)
        assert counted["tensor_optimizer_bytes"] == pytest.approx(
            2 * counted["tensor_weights_bytes"], rel=0.05
        )
        assert all(findings.metrics[name].kind == "deterministic" for name in counted)
        assert counted["tensor_growth_bytes"] == 0
        found.append(counted)
    assert found[0] == found[1]
