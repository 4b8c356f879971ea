"""Shares of time by part: real models, and parts whose time is known."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import record_function

import bench.parts
import data
import models
from bench.cell import Cell
from bench.findings import Findings
from bench.parts import PART_OF, PARTS, measure_parts, part_of, shares
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch

OPS = Path(__file__).resolve().parents[2] / "models/ops"
MIXERS = {
    "sasrec": "attention", "bert4rec": "attention", "mamba4rec": "scan", "gru4rec": "recurrence"
}  # fmt: skip


class _Scan(torch.autograd.Function):
    """Named as the scan's; sleeps 10 ms forward and 30 ms backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        time.sleep(0.010)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        time.sleep(0.030)
        return dy


class _Sleeper:
    """A trainer whose step takes 10 + 30 ms in a scan, 20 in no part and 20 in its update."""

    def forward(self, batch: object) -> Tensor:
        time.sleep(0.020)
        with record_function("not a part"):
            return _Scan.apply(torch.ones(1, requires_grad=True)).sum()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def update(self) -> None:
        time.sleep(0.020)


def test_parts_whose_time_is_known_get_it():
    trainer = _Sleeper()

    workload: Any = SimpleNamespace(
        setting=SimpleNamespace(device="cpu"),
        reset=lambda: None,
        batches=[object()] * 2,
        trainer=trainer,
    )
    found = shares(workload, 3)
    assert found["scan"] == pytest.approx(0.50, abs=0.05)
    assert found["optimizer"] == pytest.approx(0.25, abs=0.05)
    assert found["rest"] == pytest.approx(0.25, abs=0.05)
    assert sum(found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "mixer"), MIXERS.items())
def test_every_model_tells_its_parts(name, mixer):
    interactions, objective = data.load("synthetic_u80_i40_n25"), models.get(name).objectives[0]
    workload = TrainEpoch(Setting(name, interactions, objective, seq_len=12, batch_size=16))
    workload.build()
    found = shares(workload, 3)
    assert list(found) == [part for part in PARTS if part in found]
    assert found[mixer] > 0.0
    assert found.keys() & {*MIXERS.values()} == {mixer}
    assert ("post_mixer" in found) == (mixer == "attention")
    assert {"data", "embedding", "loss", "optimizer"} <= found.keys()
    assert sum(found.values()) == pytest.approx(1.0)


def test_every_kernel_with_a_gradient_is_a_part():
    sources = [path.read_text() for path in OPS.glob("*.py")]
    names = [n for s in sources for n in re.findall(r"class (\w+)\(torch.autograd.Function\)", s)]
    assert len(names) >= 10
    assert [name for name in names if name not in PART_OF] == []
    assert set(PART_OF.values()) <= set(PARTS)


def test_a_gradient_belongs_to_its_part():
    assert part_of("autograd::engine::evaluate_function: _ScanBackward") == "scan"
    assert part_of("_LinearBackward") == "linear"
    assert part_of("aten::convolution_backward") == "convolution"
    assert part_of("aten::sum") is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out of memory under the profiler"),
        (None, "the profiler saw no operation"),
    ],
)
def test_where_there_are_no_shares_the_record_says_why(monkeypatch, error, reason):
    def none(*_: object) -> dict[str, float]:
        if error is not None:
            raise error
        return {}

    monkeypatch.setattr(bench.parts, "shares", none)
    interactions = data.load("synthetic_u80_i40_n25")
    setting = Setting("gru4rec", interactions, "all", seq_len=8, batch_size=16)
    cell = Cell("gru4rec", "train_epoch", "synthetic_u80_i40_n25", "all", 8, 16)
    findings = Findings()
    measure_parts(cell, setting, findings)
    assert {name: metric.reason for name, metric in findings.metrics.items()} == {
        "share_rest": reason
    }
    assert findings.failed_in is None
