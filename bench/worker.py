"""The process in which one cell is measured, once: `python -m bench.worker < request.json`.

Fresh for every cell and pass, since allocator state and memory leak from cell to cell. The request
names the file that the findings go to. Whatever happens here becomes a status with a reason.
"""

from __future__ import annotations

import dataclasses
import errno
import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bench.cell import Cell
from bench.files import write_whole
from bench.findings import Findings
from bench.lifeline import bind_to_parent
from bench.out_of_memory import explain, in_a_line, is_out_of_memory
from bench.worker_limits import bind_to_cpus, lift_limit, limit_device, limit_memory
from measure.clock import now
from measure.record import Metric

# The exit code of a worker that could not write what it found (sysexits' EX_IOERR).
CANNOT_WRITE = 74
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
TRAINING = ("train_epoch", "fit", "capacity")


@dataclass(frozen=True)
class Request:
    """What a worker is asked: one cell, one pass ("time" or "memory"), and where things are.

    Args:
        dataset: the cell's data set by name, or the absolute path of its file.
        memory_limit: bytes that the worker may hold; on a CUDA device, of the device's memory.
        data_limit: bytes that it sets as its RLIMIT_DATA, where no cgroup keeps the limit.
        cpus: the processors that it may run on; None leaves them as they are.
        stage_file: a file descriptor to note in what it is doing.
        bell: a file descriptor to ring with at its gate (bench/gate.py); None where it has none.
        energy: "auto", "off" or "estimate=<watts>". allocator: "kept" or "system", for time.
        parts: whether a timed training also tells its share of time by part.
    """

    cell: Cell
    measuring: str
    out: Path
    weights: Path
    dataset: str
    data_dir: Path | None = None
    columns: str | None = None
    memory_limit: int | None = None
    data_limit: int | None = None
    cpus: tuple[int, ...] | None = None
    stage_file: int | None = None
    bell: int | None = None
    energy: str = "auto"
    allocator: str = "kept"
    parts: bool = False

    def dumps(self) -> str:
        content = dataclasses.asdict(self) | {"cell": self.cell.to_dict()}
        return json.dumps(content, default=str)

    @classmethod
    def loads(cls, text: str) -> Request:
        content = json.loads(text)
        paths = {n: Path(content[n]) for n in ("out", "weights", "data_dir") if content[n]}
        cpus = None if content["cpus"] is None else tuple(content["cpus"])
        return cls(**(content | {"cell": Cell.from_dict(content["cell"]), "cpus": cpus} | paths))


def main() -> None:
    began = now()
    bind_to_parent()
    request = Request.loads(sys.stdin.readline())
    limit_memory(request.data_limit)
    bind_to_cpus(request.cpus)
    findings = Findings()
    findings.stage_file = request.stage_file
    try:
        with findings.phase("other"):
            _measure(request, findings)
    except Exception as error:  # the outermost frame: every failure becomes a record
        if isinstance(error, OSError) and error.errno in _DISK:
            _cannot_write(error)
        lift_limit()
        findings.status, findings.reason = classify(error)
        if findings.status == "oom":
            oom = explain(
                error,
                stage=findings.failed_in,
                limit=request.memory_limit,
                device=request.cell.device,
            )
            findings.oom, findings.reason = oom, in_a_line(oom)
        findings.details = traceback.format_exc()
    content = dataclasses.asdict(findings) | {"began": began, "ended": now()}
    try:
        write_whole(request.out, json.dumps(content, allow_nan=False))
    except OSError as error:
        _cannot_write(error)


def _cannot_write(error: OSError) -> NoReturn:
    """End with the reason as the last line: a disk that is full says nothing about the cell."""
    print(error.strerror, flush=True)
    os._exit(CANNOT_WRITE)


def classify(error: BaseException) -> tuple[Any, str]:
    """The status and its one-line reason for an exception of a worker."""
    from models.base import NotSupported
    from models.ops.backend import BackendUnavailable
    from workloads.reference import Incorrect

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, NotSupported | BackendUnavailable):
        return "unsupported", reason
    if isinstance(error, Incorrect):
        return "incorrect", reason
    if is_out_of_memory(error):
        return "oom", reason or "out of memory"
    return "error", f"{type(error).__name__}: {reason}"


def _measure(request: Request, findings: Findings) -> None:
    gc.disable()  # collections while modules are imported find nothing and take a sixth of the time
    with findings.phase("import_torch"):
        import torch
    with findings.phase("imports"):
        import data
        from data.log import Columns

    cell = request.cell
    torch.set_num_threads(cell.threads)
    # PyTorch lets cuDNN, and so the GRU alone, use TF32 by default: float32 means float32 here.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    findings.resolved["flush_denormal"] = torch.set_flush_denormal(True)
    columns = Columns.parse(request.columns) if request.columns else None

    def read(cached: bool | None = None) -> data.Interactions:
        return data.load(
            request.dataset,
            data_dir=request.data_dir,
            min_count=cell.min_count,
            columns=columns,
            progress=False,
            cached=cached,
        )

    if cell.workload == "load":
        with findings.phase("imports"):
            from bench.loading import memory_of_loading, time_loading

        _collect_again()
        findings.pass_gate(request.bell)
        (time_loading if request.measuring == "time" else memory_of_loading)(cell, read, findings)
    else:
        _measure_model(request, read, findings)
    with findings.phase("describe"):
        _describe(cell, findings, machine=request.measuring == "time")


def _collect_again() -> None:
    """Garbage collection as after ordinary imports: what they left counts as old, and unlooked at.

    Freezing and thawing moves it there without the full collection that would else come first.
    """
    gc.freeze()
    gc.enable()
    gc.unfreeze()


def _measure_model(request: Request, read: Callable[[], Any], findings: Findings) -> None:
    with findings.phase("imports"):
        import models
        from bench.memory_pass import measure_memory
        from bench.parts import measure_parts
        from bench.quality import measure_fit
        from bench.timing import PROCEDURES
        from bench.work import describe_work
        from measure.clock import Stopwatch
        from workloads.setting import Setting, check_device
        from workloads.warm_up import warm_up

    cell = request.cell
    check_device(cell.device, cell.dtype)
    limit_device(cell.device, request.memory_limit)
    with findings.phase("data"):
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
        compile=cell.compile,
        seed=cell.seed,
        options=dict(cell.options),
    )
    with findings.phase("imports"):  # of the model's file and its kernels
        findings.resolved["backend"] = backend = setting.resolved_backend()
        findings.resolved["layers"] = setting.resolved_layers()
        findings.resolved["has_step"] = models.get(cell.model).has_step
        if cell.workload in TRAINING:
            findings.resolved["loss"] = setting.resolved_loss()
        findings.resolved["versions"] = _kernel_versions(findings.resolved)
    findings.pass_gate(request.bell)
    with findings.phase("warm_up"), Stopwatch(cell.device) as watch:
        warm_up(setting, training=cell.workload in TRAINING)
    _collect_again()
    if request.measuring == "memory":
        measure_memory(cell, setting, findings)
        return
    if cell.workload == "fit":
        measure_fit(cell, setting, findings, weights=request.weights)
    else:
        work = PROCEDURES[cell.workload](cell, setting, findings)
        if work is not None:
            describe_work(cell, work, findings, energy=request.energy)
        del work  # and with it the timed model
        if request.parts and cell.workload == "train_epoch":
            measure_parts(cell, setting, findings)
    if backend != "reference" or cell.workload in TRAINING:
        method = "kernels and layers compiled or taken from their cache"
        findings.metrics["compile_time"] = Metric(watch.seconds, "s", "lower", "time", method)


def _kernel_versions(resolved: dict[str, Any]) -> dict[str, str]:
    """Versions of the packages that the resolved kernels come from."""
    from models.ops.backend import versions

    # PyTorch's own layers need no more than the reference does.
    names = {"reference" if resolved[k] == "torch" else resolved[k] for k in ("backend", "layers")}
    return {package: number for name in sorted(names) for package, number in versions(name).items()}


def _describe(cell: Cell, findings: Findings, *, machine: bool) -> None:
    import torch

    from measure.allocator import describe_allocator
    from measure.machine import describe_machine
    from measure.switches import describe_switches

    if machine:
        findings.machine = describe_machine(device=cell.device, threads=cell.threads)
    findings.resolved |= describe_switches() | {
        "allocator": describe_allocator(),
        "dtype": cell.dtype,
        "torch_threads": torch.get_num_threads(),
        "hash_seed": os.environ.get("PYTHONHASHSEED"),
        "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def _leave() -> None:
    """End now: taking the libraries down in order takes a fifth of a second and nobody needs it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
    _leave()
