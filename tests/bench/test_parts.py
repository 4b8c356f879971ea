"""Shares of time by part: real models, and parts whose time is known."""

from __future__ import annotations

import contextlib
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
from bench.parts import _STEP, PART_OF, PARTS, measure_parts, part_of, shares
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch

OPS = Path(__file__).resolve().parents[2] / "models/ops"
MIXERS = {
    "sasrec": "attention", "bert4rec": "attention", "mamba4rec": "scan", "gru4rec": "recurrence"
}  # fmt: skip


class _Scan(torch.autograd.Function):
    """Named as the scan's; sleeps 30 ms forward and 90 backward, since a sleep may end ms late."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        time.sleep(0.030)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        time.sleep(0.090)
        return dy


class _Sleeper:
    """A trainer whose step takes 30 + 90 ms in a scan, 60 in no part and 60 in its update."""

    def forward(self, batch: object) -> Tensor:
        time.sleep(0.060)
        with record_function("not a part"):
            return _Scan.apply(torch.ones(1, requires_grad=True)).sum()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def update(self) -> None:
        time.sleep(0.060)


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


def _event(
    name: str, began: float, ended: float, around: Any = None, *, kernels: Any = (), **how: Any
) -> Any:
    """An event in the profiler's form; kernels are (name, microseconds)."""
    launched = [SimpleNamespace(name=n, duration=micros) for n, micros in kernels]
    facts = {"id": 0, "is_legacy": False, "device_type": SimpleNamespace(name="CPU")} | how
    times = SimpleNamespace(start=began, end=ended)
    return SimpleNamespace(
        name=name, time_range=times, cpu_parent=around, kernels=launched, **facts
    )


def _step_on_a_gpu(number: int) -> list[Any]:
    """A step as CUDA has it: what we name spans kernels, gradients come from another thread."""
    at = 1000.0 * number
    step = _event(_STEP, at, at + 900, id=number, kernels=[(_STEP, 5000)])
    scan = _event("SelectiveScanFn", at + 10, at + 20, step, kernels=[("scan_fwd", 100)])
    engine = "autograd::engine::evaluate_function: SelectiveScanFnBackward"
    node = _event(engine, at + 300, at + 400)
    copy = _event("aten::copy_", at + 310, at + 320, node, kernels=[("copy", 50)])
    rest = _event("aten::sum", at + 500, at + 510, kernels=[("sum", 40)])
    update = _event("optimizer", at + 600, at + 800, step, kernels=[("optimizer", 3000)])
    adam = _event("aten::add_", at + 610, at + 620, update, kernels=[("add", 10), ("add", 10)])
    far = _event("sum", at, at + 900, device_type=SimpleNamespace(name="CUDA"))
    outside = _event("_LinearBackward", at + 950, at + 960, kernels=[("gemm", 7000)])
    return [step, scan, node, copy, rest, update, adam, far, outside]


def _shares_of(events: list[Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    seen = SimpleNamespace(function_events=events)
    monkeypatch.setattr(bench.parts, "profile", lambda **how: contextlib.nullcontext(seen))
    workload: Any = SimpleNamespace(
        setting=SimpleNamespace(device="cuda"),
        reset=lambda: None,
        batches=[object()] * 2,
        trainer=SimpleNamespace(
            forward=lambda batch: None, backward=lambda loss: None, update=lambda: None
        ),
    )
    return shares(workload, 1)


def test_gradients_of_a_gpus_own_thread_are_part_of_the_step_that_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = _shares_of([*_step_on_a_gpu(0), *_step_on_a_gpu(1)], monkeypatch)
    # 100 + 50 in the scan, 40 with no name, 20 in the update; no block's span, nothing outside.
    assert found == pytest.approx({"scan": 150 / 210, "rest": 40 / 210, "optimizer": 20 / 210})


def test_without_kernels_of_their_own_operations_have_what_the_profiler_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = _event(_STEP, 0, 90, id=1, is_legacy=True, kernels=[(_STEP, 80)])
    step.self_device_time_total = 30.0
    linear = _event("aten::mm", 5, 9, step, is_legacy=True, kernels=[("aten::mm", 50)])
    linear.self_device_time_total = 50.0
    first = _event(_STEP, -90, -1, id=0)
    found = _shares_of([first, step, linear], monkeypatch)
    assert found == pytest.approx({"linear": 50 / 80, "rest": 30 / 80})


class _Products(torch.autograd.Function):
    """One product of matrices forward, ten backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x @ x

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        for _ in range(10):
            dy = dy @ dy
        return dy


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_the_gradients_are_seen_and_no_block_counts_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.ones(2048, 2048, device="cuda", requires_grad=True)
    trainer = SimpleNamespace(
        forward=lambda batch: _Products.apply(x).sum(),
        backward=lambda loss: loss.backward(),
        update=lambda: x.data @ x.data,
    )
    workload: Any = SimpleNamespace(
        setting=SimpleNamespace(device="cuda"),
        reset=lambda: None,
        batches=[object()] * 2,
        trainer=trainer,
    )
    monkeypatch.setitem(PART_OF, "aten::mm", None)
    monkeypatch.setitem(PART_OF, "_Products", "scan")
    found = shares(workload, 3)
    assert found["scan"] == pytest.approx(11 / 12, abs=0.05)
    assert found["optimizer"] == pytest.approx(1 / 12, abs=0.05)


def test_what_pytorch_calls_its_operations_exists() -> None:
    names = [name.removeprefix("aten::") for name in PART_OF if name.startswith("aten::")]
    assert [name for name in names if not hasattr(torch.ops.aten, name)] == []
    assert {"_cudnn_rnn_backward", "native_dropout_backward"} <= {*names}
    assert "_scaled_dot_product_cudnn_attention_backward" in names


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
