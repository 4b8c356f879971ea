"""A cell's outcome in a few words, for the terminal and the live view: its main numbers with their
units, or why there are none.
"""

from __future__ import annotations

from measure.record import Record

_SHOWN_BY_SCENARIO = {
    "offline": ("users_per_second", "best_batch"),
    "server": ("latency_p50", "latency_p99", "throughput_at_p99", "arrival_rate"),
}
_SHOWN_BY_WORKLOAD = {
    "train_epoch": ("epoch_time", "memory_peak"),
    "recommend": ("latency_p50", "latency_p95"),
    "serve_step": ("latency_p50", "latency_p95"),
    "rank_all": ("rank_time",),
    "fit": ("ndcg@10", "hr@10", "fit_time"),
    "load": ("load_time", "open_time", "memory_peak"),
    "capacity": ("max_seq_len", "max_batch_size"),
}


def headline(record: Record) -> str:
    """Such as "latency_p50 0.083 ms, latency_p95 0.124 ms", or "oom: " with its reason."""
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    return ", ".join(f"{name} {text}" for name, text in main_numbers(record))


def main_numbers(record: Record) -> list[tuple[str, str]]:
    """Metric and its value in words, the most telling first; none of a cell that failed."""
    if record.status != "ok":
        return []
    config = record.config
    scenario = config.get("scenario", "single_stream")
    shown = _SHOWN_BY_SCENARIO.get(scenario) or _SHOWN_BY_WORKLOAD[config["workload"]]
    return [
        (name, _in_units(record, name))
        for name in shown
        if name in record.metrics or scenario == "single_stream"
    ]


def _in_units(record: Record, name: str) -> str:
    metric = record.metrics.get(name)
    if metric is None or metric.value is None:
        return "not measured"
    if metric.unit == "s":
        return f"{metric.value:.3g} s" if metric.value >= 0.1 else f"{metric.value * 1e3:.3g} ms"
    if metric.kind == "capacity":
        return f"{metric.value:.0f}"
    if metric.unit == "1/s":
        return f"{metric.value:,.0f}/s"
    return f"{metric.value / 2**20:.0f} MiB" if metric.unit == "B" else f"{metric.value:.4f}"
