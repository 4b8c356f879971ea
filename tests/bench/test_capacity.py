"""The search finds a known edge within a step; real probes die alone and are all in the record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.capacity import LARGEST, bracket, search, step
from bench.cell import Cell
from bench.findings import Findings
from bench.process import run_worker
from bench.worker import Request

CELL = Cell("gru4rec", "capacity", "synthetic_u60_i50_n20", "all", 64, 64)


@pytest.mark.parametrize("edge", [1, 2, 63, 64, 65, 1000, 4097, 99_999])
@pytest.mark.parametrize("start", [1, 200])
def test_a_known_edge_is_found_within_one_step(edge: int, start: int) -> None:
    tried = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= edge

    found = bracket(start, fits)
    assert found.fails is not None
    assert found.fits <= edge < found.fails
    assert found.fails - found.fits <= step(found.fits)
    assert len(tried) == len(set(tried)) <= 24


def test_what_has_no_edge_or_can_not_be_tried_is_said() -> None:
    assert bracket(8, lambda _: True).fits == LARGEST
    assert "nothing above" in (bracket(8, lambda _: True).reason or "")
    assert bracket(8, lambda _: False).fits == 0
    late = bracket(8, lambda size: True if size < 100 else None)
    assert (late.fits, late.fails) == (64, None)
    assert "128 could not be tried" in (late.reason or "")


def test_both_sizes_are_searched_and_each_probe_is_listed_once() -> None:
    def probe(cell: Cell) -> Findings:
        if cell.seq_len * cell.batch_size <= 10_000:
            return Findings(phases={"measured": 2.0})
        return Findings(status="oom", reason="no", oom={"phase": "backward", "requested_bytes": 9})

    found = search(CELL, probe)
    for name in ("max_seq_len", "max_batch_size"):
        metric = found.metrics[name]
        assert (metric.kind, metric.better, metric.reason) == ("capacity", "higher", None)
        assert (metric.lo or 0) <= 10_000 / 64 < (metric.hi or 0)
        assert "step of 9" in metric.method
    probes = found.resolved["probes"]
    assert len(probes) == len({(p["seq_len"], p["batch_size"]) for p in probes})
    assert {p["phase"] for p in probes if p["status"] == "oom"} == {"backward"}
    assert found.phases["measured"] == 2.0 * sum(p["status"] == "ok" for p in probes)


def test_what_is_unsupported_is_so_and_gives_no_number() -> None:
    found = search(CELL, lambda _: Findings(status="unsupported", reason="no kernel"))
    assert (found.status, found.reason, found.metrics) == ("unsupported", "no kernel", {})
    assert len(found.resolved["probes"]) == 1


REFUSED = "AcceleratorError: CUDA error: invalid configuration argument"


def test_where_a_kernels_grid_ends_is_found_and_is_neither_memory_nor_a_failure() -> None:
    def probe(cell: Cell) -> Findings:
        if cell.batch_size >= 65_536:
            return Findings(status="error", reason=REFUSED)
        if cell.seq_len >= 5_000:
            return Findings(status="oom", reason="no", oom={"phase": "backward"})
        return Findings()

    found = search(CELL, probe)
    assert (found.status, found.reason) == ("ok", None)
    batch, length = found.metrics["max_batch_size"], found.metrics["max_seq_len"]
    assert (batch.lo or 0) < 65_536 == batch.hi
    assert batch.hi - batch.lo <= step(batch.lo)
    assert batch.reason == "a kernel's grid, not memory, ends below 65536"
    assert length.reason is None
    assert [p["reason"] for p in found.resolved["probes"] if p["status"] == "error"] == [REFUSED]


def test_memory_that_ends_before_the_grid_is_the_reason() -> None:
    def probe(cell: Cell) -> Findings:
        if cell.batch_size >= 65_536:
            return Findings(status="error", reason=REFUSED)
        return Findings(status="oom" if cell.batch_size > 40_000 else "ok", oom={})

    assert search(CELL, probe).metrics["max_batch_size"].reason is None


def test_another_error_is_the_cells_own() -> None:
    found = search(CELL, lambda _: Findings(status="error", reason="CUDA error: unknown"))
    assert (found.status, found.metrics) == ("error", {})


# Importing it takes most of these limits.
without_cuda = pytest.mark.skipif(
    torch.version.cuda is not None, reason="PyTorch's CUDA build alone takes 800 MB"
)


@without_cuda
@pytest.mark.parametrize(
    ("length", "status"), [(64, "ok"), (16384, "oom")], ids=["fits", "does not fit"]
)
def test_a_real_probe_fits_or_dies_alone(tmp_path: Path, length: int, status: str) -> None:
    import dataclasses

    cell = dataclasses.replace(CELL, seq_len=length)
    request = Request(
        cell, "memory", tmp_path / "out", tmp_path / "w", cell.dataset, memory_limit=800 * 10**6
    )
    findings = run_worker(request, timeout=120)
    assert findings.status == status, findings.reason
    if status == "oom":
        assert findings.oom is not None
        assert findings.oom["phase"] in ("batch", "forward", "backward", "optimizer", "measured")
