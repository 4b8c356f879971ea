"""The machine's limits beside each cell: measured once a run, kept in its folder.

`python -m bench.peaks cpu float32 [0,1]` is the process that measures them, as one JSON object.
The last argument names the processors that it may run on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.files import write_whole
from bench.lifeline import bind_to_parent
from bench.process import ROOT, fixed_environment
from measure.clock import now
from measure.record import Metric
from measure.roofline import Peak, measure_peak, roofline_metrics

# Which metric is the time of what `flops` and `traffic_bytes` count.
TIMES = {
    "train_epoch": "epoch_time",
    "recommend": "latency_p50",
    "serve_step": "latency_p50",
    "rank_all": "rank_time",
}
_TIMEOUT = 120.0


@dataclass
class Peaks:
    """Peaks by device, dtype, threads and processors, kept under the machine's fingerprint.

    Args:
        folder: the run's.
        fingerprint: of the machine; a run that goes on elsewhere measures again.
        cpus: the processors that workers may run on.
        failed: why a peak is not known; it is not tried a second time in a start.
    """

    folder: Path
    fingerprint: str
    cpus: tuple[int, ...] | None = None
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / f"peaks-{self.fingerprint}.json"

    def shares(self, cell: Cell, metrics: dict[str, Metric]) -> tuple[dict[str, Metric], float]:
        """`mfu`, `mbu` and `roofline_fraction`; and the seconds that a new peak took."""
        if "flops" not in metrics:
            return {}, 0.0
        began = now()
        peak = self.of(cell)
        took = now() - began
        timed = "pass_time" if cell.scenario == "offline" else TIMES[cell.workload]
        found = roofline_metrics(
            flops=metrics["flops"].value or 0.0,
            traffic=metrics["traffic_bytes"].value or 0.0,
            working_set=metrics["working_set"].value or 0.0,
            seconds=metrics[timed].value,
            peak=peak,
        )
        return found, took

    def of(self, cell: Cell) -> Peak | str:
        """The kept peak, or one measured now; where that fails, the reason."""
        kept = self._read()
        cpus = "all" if self.cpus is None else ",".join(map(str, self.cpus))
        key = f"{cell.device}-{cell.dtype}-{cell.threads}-cpus{cpus}"
        if key in self.failed:
            return self.failed[key]
        if key not in kept:
            found = _measure(cell, self.cpus)
            if isinstance(found, str):
                self.failed[key] = found
                return found
            kept[key] = found
            content = {name: peak.to_dict() for name, peak in sorted(kept.items())}
            write_whole(self.path, json.dumps(content, indent=1) + "\n")
        return kept[key]

    def _read(self) -> dict[str, Peak]:
        try:
            content = json.loads(self.path.read_text())
            return {name: Peak.from_dict(entry) for name, entry in content.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}  # not there yet, or cut short: measured again


def _measure(cell: Cell, cpus: tuple[int, ...] | None) -> Peak | str:
    """The peak, measured in a fresh process with a timed worker's environment and processors."""
    allowed = ",".join(str(cpu) for cpu in cpus or ())
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.peaks", cell.device, cell.dtype, allowed],
            cwd=ROOT,
            env=fixed_environment(cell.threads, keep_memory=True) | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"the machine's peak was not measured after {_TIMEOUT:g} s"
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return f"the machine's peak could not be measured: {last}"
    return Peak.from_dict(json.loads(done.stdout.splitlines()[-1]))


def _own_products(device: str, dtype: str) -> dict[str, Callable[[Any, Any], object]]:
    """Products of the models' kernels, which are held against the peak; none but for float32 on a
    CPU.
    """
    import torch

    from models.ops.backend import BackendUnavailable, resolve_layers
    from models.ops.linear import linear

    try:
        fits = resolve_layers("auto", device, getattr(torch, dtype)) == "numba"
    except BackendUnavailable:
        return {}
    return {"models.ops.linear": linear} if fits else {}


if __name__ == "__main__":
    bind_to_parent()
    if len(sys.argv) > 3 and sys.argv[3] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(cpu) for cpu in sys.argv[3].split(",")})
    on, kind = sys.argv[1:3]
    print(json.dumps(measure_peak(on, kind, _own_products(on, kind)).to_dict()))
