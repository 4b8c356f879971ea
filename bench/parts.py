"""Share of a training step's time by part of the model, after its epochs were timed."""

from __future__ import annotations

from bench.cell import Cell
from bench.findings import Findings
from measure.record import Metric, not_measured
from workloads.parts import shares
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch

_STEPS = 3


def measure_parts(cell: Cell, setting: Setting, findings: Findings) -> None:
    """Fill in `share_<part>`, or `share_rest` with the reason why there is none."""
    if cell.compile != "none":
        reason = "a compiled graph is one operation to a profiler"
        findings.metrics["share_rest"] = not_measured(
            reason, unit="1", better="none", kind="derived"
        )
        return
    with findings.phase("measured"):
        workload = TrainEpoch(setting)
        workload.build()
        method = f"torch.profiler over {_STEPS} steps, own time of operations"
        for part, share in shares(workload, _STEPS).items():
            metric = Metric(share, "1", "none", "derived", method)
            findings.metrics[f"share_{part}"] = metric
