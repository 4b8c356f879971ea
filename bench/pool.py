"""Latencies of several fresh processes as one sample.

Requests of one process share its heap, its layout and the seconds in which it ran. A percentile
over five has seen five of each, and how far the processes' own p50 and p99 lie apart says how far
those of another run may.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from bench.cell import Cell
from bench.findings import Findings
from bench.latency import ON_DEVICE, ON_EVENTS
from measure.histogram import Histogram
from measure.quantile import PERCENTILES, percentile_metrics, quantile
from measure.record import TOO_FEW, Metric, not_measured

_APART = ("p50", "p99")
WITHIN = "latency_block_within"  # samples: medians of blocks over their own process's


def pooled(cell: Cell, parts: Sequence[Findings]) -> Findings:
    """The findings of one cell's processes as those of the cell: percentiles over all requests,
    `latency_p50_apart` and `latency_p99_apart` between processes.

    What is no latency is the first one's. Where one did not end well, its findings are the cell's.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if failed := [part for part in parts if part.status != "ok"]:
        return failed[0]
    each = [part.raw["latency"] for part in parts]
    latencies = _joined(parts, "latency")
    raw, metrics = {"latency": latencies}, dict[str, Metric]()
    if ON_DEVICE in first.raw:
        raw[ON_DEVICE] = _joined(parts, ON_DEVICE)
        metrics = percentile_metrics(raw[ON_DEVICE], name=ON_DEVICE, method=ON_EVENTS)
    metrics |= percentile_metrics(latencies, asked_for=len(parts) * cell.requests)
    metrics = {name: _of_all(metric, len(parts)) for name, metric in metrics.items()}
    metrics |= {f"latency_{label}_apart": _apart(each, label) for label in _APART}
    rate = first.metrics["users_per_second"]
    pooled_rate = len(latencies) * cell.batch_size / sum(latencies)
    metrics["users_per_second"] = _of_all(
        replace(rate, value=pooled_rate, n=len(latencies)), len(parts)
    )
    samples = {
        f"latency_process_{label}": [
            quantile(sorted(of_one), PERCENTILES[label][0]) for of_one in each
        ]
        for label in _APART
    }
    blocks = [part.samples["latency_block_p50"] for part in parts]
    samples["latency_block_p50"] = [block for of_one in blocks for block in of_one]
    # How steady each process was by itself: that they differ is what several are there to show.
    samples[WITHIN] = [
        block / own
        for of_one, own in zip(blocks, samples["latency_process_p50"], strict=True)
        for block in of_one
    ]
    phases = {
        name: sum(part.phases.get(name, 0.0) for part in parts)
        for name in dict.fromkeys(name for part in parts for name in part.phases)
    }
    return replace(
        first,
        metrics=first.metrics | metrics,
        samples=first.samples | samples,
        raw=first.raw | raw,
        histograms=first.histograms | {"latency": _sum(parts)},
        flags=list(dict.fromkeys(flag for part in parts for flag in part.flags)),
        resolved=first.resolved | {"processes": len(parts)},
        phases=phases,
    )


def _joined(parts: Sequence[Findings], name: str) -> list[float]:
    return [seconds for part in parts for seconds in part.raw[name]]


def _of_all(metric: Metric, processes: int) -> Metric:
    return replace(metric, method=f"{metric.method}, over {processes} processes")


def _apart(each: Sequence[Sequence[float]], label: str) -> Metric:
    """The coefficient of variation of the processes' own percentiles."""
    q, fewest, _ = PERCENTILES[label]
    method = f"standard deviation over mean of {len(each)} processes' own {label}"
    least = min(map(len, each))
    if least < fewest:
        reason = f"{label} {TOO_FEW} {fewest} samples a process, there are {least}"
        return not_measured(reason, unit="1", better="none", kind="derived", method=method)
    own = [quantile(sorted(of_one), q) for of_one in each]
    value = statistics.stdev(own) / statistics.fmean(own)
    return Metric(value, "1", "none", "derived", method, n=len(each))


def _sum(parts: Sequence[Findings]) -> dict[str, object]:
    whole = Histogram({})
    for part in parts:
        whole += Histogram.from_dict(part.histograms["latency"])
    return whole.to_dict()
