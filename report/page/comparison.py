"""Several runs side by side: a row for what more than one of them measured, a column per run.

A ratio to the first run that measured it stands beside a number only where it means something: time
and memory on machines that agree in every hard key, accuracy and counts anywhere. It is no verdict:
regression_report.py gives one, from runs measured in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from report.facets import Cell, settings
from report.labels import BYTES, model_label, number, order_of, time_unit
from report.load import Run
from report.page.machines import comparable
from report.series import typical
from report.sides import EFFORT

MOST_ROWS = 400
_METRICS = (
    ("train_epoch", "epoch_time"),
    ("recommend", "latency_p50"),
    ("serve_step", "latency_p50"),
    ("train_epoch", "memory_peak"),
    ("train_epoch", "cuda_allocated_peak"),
    ("fit", "ndcg@10"),
)
_WORDS = {
    ("train_epoch", "epoch_time"): "epoch",
    ("recommend", "latency_p50"): "one user's list, p50",
    ("serve_step", "latency_p50"): "next event, p50",
    ("train_epoch", "memory_peak"): "peak memory",
    ("train_epoch", "cuda_allocated_peak"): "peak GPU memory",
    ("fit", "ndcg@10"): "NDCG@10",
}
Key = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One measured thing: its name, and for each run its number as text and its ratio."""

    name: tuple[str, ...]
    numbers: list[str]
    ratios: list[str]


def comparison(runs: Sequence[Run], cells: Sequence[Cell]) -> list[Row]:
    """Rows in order of metric, model and L; [] where no two runs measured the same."""
    found = [_by_key([cell for cell in cells if cell.run is run]) for run in runs]
    alike = [[comparable(one, other) for other in runs] for one in runs]
    keys = list(dict.fromkeys(key for by_key in found for key in by_key))
    shared = [key for key in keys if sum(key in by_key for by_key in found) > 1]
    return [_row(key, found, alike) for key in sorted(shared, key=_order)[:MOST_ROWS]]


def _by_key(found: Sequence[Cell]) -> dict[Key, list[Cell]]:
    by_key: dict[Key, list[Cell]] = {}
    for cell in found:
        several = cell.workload == "recommend" and cell.record.config.get("batch_size") != 1
        for workload, metric in _METRICS:
            if cell.workload != workload or not cell.ok or several:
                continue
            if cell.record.value(metric) is None:
                continue
            facets = cell.facets
            key = (workload, metric, cell.model, facets["dataset"], str(cell.seq_len))
            conditions = (facets["objective"], facets["batch"], facets["device"], facets["dtype"])
            by_key.setdefault((*key, *conditions, _way(cell)), []).append(cell)
    return by_key


def _way(cell: Cell) -> str:
    """The settings that decide what is measured; how long and how often does not."""
    own = settings(cell.record)
    return ", ".join(f"{name} {own[name]}" for name in sorted(own) if name not in EFFORT)


def _order(key: Key) -> tuple[int, str, tuple[int, str], int]:
    return _METRICS.index((key[0], key[1])), key[3], order_of(key[2]), int(key[4])


def _row(key: Key, found: Sequence[dict[Key, list[Cell]]], alike: Sequence[list[bool]]) -> Row:
    workload, metric, model, dataset, seq_len, objective, batch, *_ = key
    values = [_value(by_key.get(key, []), metric) for by_key in found]
    ratios = _ratios(values, [[True] * len(found)] * len(found) if metric == "ndcg@10" else alike)
    named = f", {objective}" if objective != "none" else ""
    conditions = "" if batch == "batch 1" else batch + named
    name = (_WORDS[workload, metric], model_label(model), dataset, seq_len, conditions)
    return Row(name, [_text(value, metric) for value in values], ratios)


def _ratios(values: Sequence[float | None], alike: Sequence[list[bool]]) -> list[str]:
    """To the first run that has a value, for each later one that may be compared with it."""
    first = next(place for place, value in enumerate(values) if value is not None)
    return [
        f"{value / base:.2f}×"
        if place > first and value is not None and (base := values[first]) and alike[first][place]
        else ""
        for place, value in enumerate(values)
    ]


def _value(group: Sequence[Cell], metric: str) -> float | None:
    values = [value for cell in group if (value := cell.record.value(metric)) is not None]
    return typical(values, group[0].record.metrics[metric].kind) if values else None


def _text(value: float | None, metric: str) -> str:
    if value is None:
        return "–"
    if metric == "ndcg@10":
        return f"{value:.4f}"
    if metric.endswith("_peak"):
        return f"{number(value / BYTES[0].size)} MiB"
    unit = time_unit(value)
    return f"{number(value / unit.size)} {unit.name}"
