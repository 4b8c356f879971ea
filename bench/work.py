"""What a timed cell repeats, for what is said about it besides its time: cost and energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.cell import Cell
from bench.findings import Findings, fact
from measure.energy import (
    EnergyMeter,
    energy_metrics,
    estimated_metrics,
    idle_watts,
    measure_windows,
    no_energy,
)
from measure.energy_source import Source, find_source
from workloads.cost import Cost

ESTIMATE = "estimate="


@dataclass(frozen=True)
class Work:
    """One more call of what was timed.

    Args:
        per: epochs, or thousands of recommendations, in a call.
        seconds: of one epoch, or of a thousand recommendations, as timed.
        cost: of what the cell's time is the time of: an epoch, a request, a ranking.
    """

    call: Callable[[], object]
    per: float
    seconds: float
    cost: Cost


def describe_work(cell: Cell, work: Work, findings: Findings, *, energy: str) -> None:
    """Fill in `flops`, `traffic_bytes`, `working_set`, and the energy or why there is none.

    Args:
        energy: "auto" (measured where something counts it), "off", or "estimate=<watts>".
    """
    cost = work.cost
    findings.metrics |= {
        "flops": fact(cost.flops, "FLOP", "analytic, real events only", better="none"),
        "traffic_bytes": fact(cost.bytes, "B", "analytic, the least that moves", better="none"),
        "working_set": fact(cost.working_set, "B", "traffic_bytes of one call", better="none"),
    }
    name = "energy_per_epoch" if cell.workload == "train_epoch" else "energy_per_1k_rec"
    if energy == "off":
        findings.metrics |= no_energy(name, Source("none", "switched off: --energy off"))
    elif energy.startswith(ESTIMATE):
        watts = float(energy.removeprefix(ESTIMATE))
        findings.metrics |= estimated_metrics(name, watts=watts, seconds=work.seconds)
    else:
        _measure(name, cell.device, work, findings)


def _measure(name: str, device: str, work: Work, findings: Findings) -> None:
    source = find_source(device)
    if source.name == "none":
        findings.metrics |= no_energy(name, source)
        return
    try:
        with findings.phase("measured"), EnergyMeter(source) as meter:
            idle = idle_watts(meter)
            windows = measure_windows(work.call, meter, device=device)
    except OSError as error:
        findings.metrics |= no_energy(name, Source(source.name, f"reading failed: {error}"))
        return
    findings.metrics |= energy_metrics(name, windows, per=work.per, idle=idle, source=source)
