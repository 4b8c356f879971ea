"""The process in which one cell is measured, once: `python -m bench.worker < request.json`.

Fresh for every cell and pass, since allocator state and memory leak from cell to cell. The request
names the file that the findings go to. Whatever happens here becomes a status with a reason.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.files import write_whole
from bench.findings import Findings
from measure.record import Metric

_PR_SET_PDEATHSIG = 1
TRAINING = ("train_epoch", "fit")


@dataclass(frozen=True)
class Request:
    """What a worker is asked: one cell, one pass ("time" or "memory"), and where things are."""

    cell: Cell
    measuring: str
    out: Path
    weights: Path
    data_dir: Path | None = None
    columns: str | None = None
    memory_limit: int | None = None

    def dumps(self) -> str:
        content = dataclasses.asdict(self) | {"cell": self.cell.to_dict()}
        return json.dumps(content, default=str)

    @classmethod
    def loads(cls, text: str) -> Request:
        content = json.loads(text)
        paths = {
            name: Path(content[name]) for name in ("out", "weights", "data_dir") if content[name]
        }
        return cls(**(content | {"cell": Cell.from_dict(content["cell"])} | paths))


def main() -> None:
    request = Request.loads(sys.stdin.read())
    _bind_to_parent()
    _limit_memory(request.memory_limit)
    findings = Findings()
    try:
        _measure(request, findings)
    except Exception as error:  # the outermost frame: every failure becomes a record
        findings.status, findings.reason = classify(error)
        findings.details = traceback.format_exc()
    write_whole(request.out, json.dumps(dataclasses.asdict(findings), allow_nan=False))


def classify(error: BaseException) -> tuple[Any, str]:
    """The status and its one-line reason for an exception of a worker."""
    from models.base import NotSupported
    from models.ops.backend import BackendUnavailable
    from workloads.checks import Incorrect

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, NotSupported | BackendUnavailable):
        return "unsupported", reason
    if isinstance(error, Incorrect):
        return "incorrect", reason
    if _is_out_of_memory(error):
        return "oom", reason or "out of memory"
    return "error", f"{type(error).__name__}: {reason}"


def _measure(request: Request, findings: Findings) -> None:
    import torch

    import data
    from data.log import Columns

    cell = request.cell
    torch.set_num_threads(cell.threads)
    findings.resolved["flush_denormal"] = torch.set_flush_denormal(True)
    columns = Columns.parse(request.columns) if request.columns else None

    def read() -> data.Interactions:
        return data.load(
            cell.dataset,
            data_dir=request.data_dir,
            min_count=cell.min_count,
            columns=columns,
            progress=False,
        )

    if cell.workload == "load":
        from bench.loading import memory_of_loading, time_loading

        (time_loading if request.measuring == "time" else memory_of_loading)(cell, read, findings)
    else:
        _measure_model(request, read, findings)
    _describe(cell, findings)


def _measure_model(request: Request, read: Callable[[], Any], findings: Findings) -> None:
    from bench.memory_pass import measure_memory
    from bench.quality import measure_fit
    from bench.timing import PROCEDURES
    from measure.clock import Stopwatch
    from models.ops.warm_up import warm_up, warm_up_loss
    from workloads.setting import Setting, check_device

    cell = request.cell
    check_device(cell.device, cell.dtype)
    interactions = read()
    findings.data = interactions.describe()
    setting = Setting(
        cell.model,
        interactions,
        cell.objective,
        cell.seq_len,
        cell.batch_size,
        device=cell.device,
        dtype=cell.dtype,
        backend=cell.backend,
        seed=cell.seed,
        options=dict(cell.options),
    )
    findings.resolved["backend"] = backend = setting.resolved_backend()
    if cell.workload in TRAINING:
        findings.resolved["loss"] = setting.resolved_loss()
    with Stopwatch(cell.device) as watch:
        if backend != "torch":
            warm_up(backend, cell.device)
        elif cell.workload in TRAINING:
            warm_up_loss(device=cell.device)
    if request.measuring == "memory":
        return measure_memory(cell, setting, findings)
    if cell.workload == "fit":
        measure_fit(cell, setting, findings, weights=request.weights)
    else:
        PROCEDURES[cell.workload](cell, setting, findings)
    method = "kernels compiled or taken from their cache"
    findings.metrics["compile_time"] = Metric(watch.seconds, "s", "lower", "time", method)
    return None


def _describe(cell: Cell, findings: Findings) -> None:
    import torch

    from measure.allocator import describe_allocator
    from measure.machine import describe_machine

    findings.machine = describe_machine(device=cell.device, threads=cell.threads)
    findings.resolved |= {
        "allocator": describe_allocator(),
        "attention": "scaled_dot_product_attention",
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        "dtype": cell.dtype,
        "torch_threads": torch.get_num_threads(),
    }


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    text = str(error)
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in text or "not enough memory" in text)
    )


def _limit_memory(limit: int | None) -> None:
    """An allocation beyond the limit fails here, in the worker, before the machine is in need."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    if limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # The kernel, if it has to choose, ends the worker and not the session that journals.
    Path("/proc/self/oom_score_adj").write_text("1000")


def _bind_to_parent() -> None:
    """On Linux the worker dies with its parent, even when that is killed."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    main()
