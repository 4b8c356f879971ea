"""What is known of an allocation that failed, and of a worker that died of one."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import memory_limit
from bench.cell import Cell
from bench.memory_limit import available, default_limit, limited
from bench.out_of_memory import explain, explain_death, is_out_of_memory, requested_bytes
from bench.process import run_worker
from bench.worker import Request

ROOT = Path(__file__).resolve().parent.parent.parent
CELL = Cell("sasrec", "train_epoch", "synthetic_u300_i50_n200", "all", 180, 256, rounds=2)
# Importing it takes most of these limits.
without_cuda = pytest.mark.skipif(
    torch.version.cuda is not None, reason="PyTorch's CUDA build alone takes 800 MB"
)
needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="RLIMIT_DATA and cgroups are Linux's"
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5033 bytes.", 5033),
        ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has", 20 * 2**20),
        ("CUDA out of memory. Tried to allocate 2.50 GiB.", 2.5 * 2**30),
        ("Unable to allocate 8.00 TiB for an array with shape (1,)", 8 * 2**40),
        ("std::bad_alloc", None),
    ],
)  # fmt: skip
def test_the_bytes_asked_for_are_read_from_the_message(text: str, size: int | None) -> None:
    assert requested_bytes(text) == size


def test_real_allocators_are_understood() -> None:
    with pytest.raises(RuntimeError) as by_torch:
        torch.empty(2**50)
    with pytest.raises(MemoryError) as by_numpy:
        np.empty(2**58, np.uint8)
    for error, asked in ((by_torch.value, 4 * 2**50), (by_numpy.value, 2**58)):
        assert is_out_of_memory(error)
        told = explain(error, stage="measured", limit=5)
        assert told["where"] == "host"
        assert told["phase"] == "measured"
        if error is by_torch.value:
            assert told["requested_bytes"] == asked
        assert told["limit_bytes"] == 5
        json.dumps(told)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


@needs_linux
@without_cuda
@pytest.mark.parametrize(("limit", "phases"), [(700, {"forward", "backward"})])
def test_a_worker_says_where_in_which_phase_and_how_much(
    tmp_path: Path, limit: int, phases: set[str]
) -> None:
    cell = dataclasses.replace(CELL, batch_size=1024, dataset="synthetic_u2000_i50_n200")
    request = Request(
        cell, "memory", tmp_path / "out", tmp_path / "w", cell.dataset, memory_limit=limit * 10**6
    )
    findings = run_worker(request, timeout=120)
    assert findings.status == "oom", findings.reason
    oom = findings.oom
    assert oom is not None
    assert oom["where"] == "host"
    assert oom["phase"] in phases
    assert oom["stage"] == "measured"
    assert (findings.reason or "").startswith(f"out of memory in {oom['phase']}: ")
    assert (findings.reason or "").endswith(f"limit {limit} MB")
    assert oom["limit_bytes"] == limit * 10**6
    if findings.resolved["memory_limit_by"] == "RLIMIT_DATA":
        assert oom["requested_bytes"] > 10**6
        assert oom["requested_bytes"] + oom["reserved_bytes"] > 0.9 * limit * 10**6
        assert oom["peak_before_bytes"] < limit * 10**6 + 300 * 2**20  # libraries' code beside data


@needs_linux
def test_too_little_for_the_libraries_is_out_of_memory_too(tmp_path: Path) -> None:
    request = Request(
        CELL, "time", tmp_path / "out", tmp_path / "w", CELL.dataset, memory_limit=10**8
    )
    findings = run_worker(request, timeout=120)
    assert findings.status == "oom", findings.reason
    if findings.resolved["memory_limit_by"] == "RLIMIT_DATA":
        assert findings.reason == "out of memory in import_torch: limit 100 MB"


def test_a_library_that_may_not_run_is_no_lack_of_memory() -> None:
    said = "x.so: failed to map segment from shared object"
    assert is_out_of_memory(ImportError(said))
    assert not is_out_of_memory(ImportError(f"{said}: Operation not permitted"))
    assert not is_out_of_memory(ImportError("No module named 'x'"))


def test_of_a_killed_worker_what_is_not_known_is_none_with_a_reason() -> None:
    told = explain_death(stage="measured", limit=7, peak=6, signal=9)
    assert told["requested_bytes"] is None
    assert told["requested_reason"] == "ended by signal 9, no message"
    assert (told["phase"], told["peak_before_bytes"], told["signal"]) == ("measured", 6, 9)


@needs_linux
def test_a_worker_is_the_first_that_the_kernel_would_choose_and_the_parent_is_not() -> None:
    code = (
        "from bench.worker_limits import limit_memory as f; f(10**9);"
        "print(open('/proc/self/oom_score_adj').read());"
        "import resource; print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1000", str(10**9)]
    assert Path("/proc/self/oom_score_adj").read_text().strip() != "1000"


def test_the_default_limit_is_below_the_machines_memory() -> None:
    import psutil

    assert 0 < default_limit() <= 0.9 * psutil.virtual_memory().total


def test_what_is_available_is_the_containers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On folders in the form of cgroups: a limit of 300 MB, 250 MB of it used, 80 MB for files."""
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.setattr(memory_limit, "own_group", lambda: inner)
    assert available() > 2**28  # of the machine: there is no limit yet
    for group in (inner, tmp_path):
        for name, text in (
            ("memory.max", "300000000\n"), ("memory.current", "250000000\n"),
            ("memory.stat", "anon 170000000\ninactive_file 70000000\nactive_file 10000000\n"),
        ):  # fmt: skip
            (group / name).write_text(text)
    assert available() == 130_000_000
    assert default_limit() == 270_000_000
    (inner / "memory.max").write_text("max\n")
    assert available() == 130_000_000
    assert default_limit() == 270_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available() > 2**28
    assert default_limit() > 270_000_000


@needs_linux
def test_a_cgroup_of_its_own_is_made_used_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a folder in the form of a cgroup: what the kernel would put there is put there here."""
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory")
    monkeypatch.setattr(memory_limit, "own_group", lambda: tmp_path)
    with limited(10**9) as limit:
        group = limit.group
        assert group is not None
        assert limit.by_worker is None
        assert (group / "memory.max").read_text() == str(10**9)
        limit.join(4711)
        assert (group / "cgroup.procs").read_text() == "4711"
        assert limit.peak() is None
        (group / "memory.events").write_text("low 0\nmax 3\noom 1\noom_kill 1\n")
        (group / "memory.peak").write_text("900\n")
        assert (limit.kills(), limit.peak()) == (1, 900)
        for path in group.iterdir():
            path.unlink()  # the kernel's own files don't keep a group from being removed
    assert not group.exists()


@needs_linux
def test_where_no_cgroup_can_be_made_the_data_limit_is_set_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_limit, "own_group", lambda: tmp_path / "missing")
    with limited(10**9) as limit:
        assert (limit.method, limit.by_worker) == ("RLIMIT_DATA", 10**9)
        assert "No such file" in (limit.reason or "")
    with limited(None) as limit:
        assert (limit.bytes, limit.method) == (None, "none")


def test_a_devices_limit_is_none_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory")
    monkeypatch.setattr(memory_limit, "own_group", lambda: tmp_path)
    with limited(10**9, host=False) as limit:
        assert (limit.bytes, limit.method) == (10**9, "CUDA allocator")
        assert (limit.by_worker, limit.group, limit.reason) == (None, None, None)
        assert [path.name for path in tmp_path.iterdir()] == ["cgroup.subtree_control"]


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_the_peak_is_that_of_the_cells_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    peaks = {"cuda": 100, "cuda:1": 200}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda which: peaks[which])
    error = RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 1 has")
    told = explain(error, stage="measured", limit=None, device=device)
    assert (told["where"], told["peak_before_bytes"]) == ("cuda", peaks[device])
