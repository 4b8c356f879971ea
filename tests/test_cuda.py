"""The suite on a GPU: every model trains, serves, and its memory is measured, in all dtypes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import models
from bench.cell import Cell
from bench.process import run_worker
from bench.worker import Request

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def cell_for(name: str, workload: str, dtype: str = "float32") -> Cell:
    return Cell(
        name,
        workload,
        "synthetic_u60_i50_n20",
        models.get(name).objectives[0],
        16,
        16 if workload == "train_epoch" else 1,
        dtype=dtype,
        device="cuda",
        backend="auto" if len(models.get(name).backends) > 1 else "torch",
        rounds=2,
        round_seconds=0.2,
        requests=60,
    )


def measured(tmp_path: Path, cell: Cell, measuring: str = "time") -> dict[str, float | None]:
    request = Request(cell, measuring, tmp_path / "out", tmp_path / "w.pt", cell.dataset)
    findings = run_worker(request, timeout=300)
    assert findings.status == "ok", findings.reason
    return {name: metric.value for name, metric in findings.metrics.items()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", models.names())
def test_every_model_trains_in_every_dtype(tmp_path: Path, name: str, dtype: str) -> None:
    metrics = measured(tmp_path, cell_for(name, "train_epoch", dtype))
    assert (metrics["epoch_time"] or 0) > 0


@pytest.mark.parametrize("name", models.names())
def test_every_model_recommends(tmp_path: Path, name: str) -> None:
    assert (measured(tmp_path, cell_for(name, "recommend"))["latency_p50"] or 0) > 0


@pytest.mark.parametrize("name", [n for n in models.names() if models.get(n).has_step])
def test_every_stateful_model_serves_steps(tmp_path: Path, name: str) -> None:
    assert (measured(tmp_path, cell_for(name, "serve_step"))["latency_p50"] or 0) > 0


@pytest.mark.parametrize("name", models.names())
def test_memory_is_the_allocators_with_the_hosts_beside_it(tmp_path: Path, name: str) -> None:
    metrics = measured(tmp_path, cell_for(name, "train_epoch"), "memory")
    assert (metrics["cuda_allocated_peak"] or 0) > 0
    assert "host_memory_peak" in metrics


def test_the_kernels_of_mamba4rec_are_the_official_ones(tmp_path: Path) -> None:
    cell = dataclasses.replace(cell_for("mamba4rec", "recommend"), backend="cuda")
    request = Request(cell, "time", tmp_path / "out", tmp_path / "w.pt", cell.dataset)
    assert run_worker(request, timeout=300).resolved["backend"] == "cuda"
