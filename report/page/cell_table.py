"""All cells as columns: what the sortable table shows, and each cell's record, a click away.

Ten thousand cells have to open at once, so texts are kept once and named by their place, numbers
have five digits, and what the metrics of a record are called is kept once for all records alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from measure.record import Metric, Record
from report.disturbed import disturbances
from report.facets import Cell, settings
from report.labels import BYTES, model_label, number, one_line, time_unit
from report.load import Run
from report.page.curves import short
from report.page.rerun import command

# Of the table: the first of these that a cell has is its time, its tail, its memory, its accuracy.
TIMES = ("epoch_time", "latency_p50", "rank_time", "load_time", "fit_time")
TAILS = ("latency_p99",)
PEAKS = ("cuda_allocated_peak", "memory_peak")
SCORES = ("ndcg@10",)
NUMBERS = {"time": TIMES, "tail": TAILS, "peak": PEAKS, "score": SCORES}
TEXTS = ("model", "workload", "dataset", "batch", "place", "seed", "status")
# Rows in the page itself, for readers without JavaScript.
MOST_ROWS = 1000
HEAD = (
    "Model",
    "Workload",
    "Data",
    "L",
    "Batch",
    "On",
    "Seed",
    "Status",
    "Time",
    "p99",
    "Peak",
    "NDCG@10",
)


# What a record's metrics are called, in order: see `_shape`.
Shape = tuple[tuple[int, ...], ...]


class _Texts:
    """Texts by their place, each kept once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self.places.setdefault(text, len(self.places))


def cell_columns(runs: Sequence[Run], found: Sequence[Cell]) -> dict[str, Any]:
    """Columns of the table and of the records, JSON-able."""
    texts = _Texts()
    shapes: dict[Shape, int] = {}
    columns: dict[str, list[Any]] = {name: [] for name in (*TEXTS, *NUMBERS, "run", "L")}
    records: dict[str, list[Any]] = {
        name: []
        for name in ("id", "reason", "flags", "started", "wall", "facts", "shape", "values")
    }
    labels = [run.label for run in runs]
    for cell in found:
        for name, text in _shown(cell).items():
            columns[name].append(texts.place(text))
        for name, metrics in NUMBERS.items():
            columns[name].append(_first(cell.record, metrics))
        columns["run"].append(labels.index(cell.run.label))
        columns["L"].append(cell.seq_len)
        _add_record(records, cell, texts, shapes)
    return {
        "runs": labels,
        "commands": [command(run) for run in runs],
        "columns": columns,
        "records": records,
        "shapes": list(shapes),
        "texts": list(texts.places),
    }


def cell_rows(found: Sequence[Cell]) -> list[tuple[str, ...]]:
    """The first rows as texts, under HEAD."""
    rows = []
    for cell in found[:MOST_ROWS]:
        shown = _shown(cell)
        time, tail, peak, score = (_first(cell.record, names) for names in NUMBERS.values())
        texts = [shown["model"], shown["workload"], shown["dataset"], str(cell.seq_len)]
        texts += [shown["batch"], shown["place"], shown["seed"], shown["status"]]
        texts += [_seconds(time), _seconds(tail)]
        texts += ["" if peak is None else f"{peak / BYTES[0].size:,.0f} MiB"]
        rows.append((*texts, "" if score is None else f"{score:.4f}"))
    return rows


def _shown(cell: Cell) -> dict[str, str]:
    config = cell.record.config
    objective = cell.facets["objective"]
    named = "" if objective == "none" else f", {objective}"
    return {
        "model": model_label(cell.model),
        "workload": one_line(cell.workload + named, 60),
        "dataset": cell.facets["dataset"],
        "batch": cell.facets["batch"].removeprefix("batch "),
        "place": f"{cell.facets['device']}, {cell.facets['threads']}",
        "seed": one_line(str(config.get("seed", "")), 12),
        "status": ", ".join((cell.record.status, *disturbances([cell.record] if cell.ok else []))),
    }


def _first(record: Record, names: Sequence[str]) -> float | None:
    values = [record.value(name) for name in names] if record.status == "ok" else []
    return next((short(value) for value in values if value is not None), None)


def _add_record(
    records: dict[str, list[Any]], cell: Cell, texts: _Texts, shapes: dict[Shape, int]
) -> None:
    record = cell.record
    facts = settings(record) | {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in record.resolved.items()
    }
    facts |= {"dtype": cell.facets["dtype"], "commit": cell.facets["commit"]}
    records["id"].append(one_line(record.cell_id, 300))
    records["reason"].append(texts.place(one_line(record.reason or "", 400)))
    records["flags"].append(texts.place(", ".join(one_line(flag, 40) for flag in record.flags)))
    records["started"].append(one_line(record.started, 40))
    records["wall"].append(short(record.wall_s))
    shown = {one_line(name, 60): one_line(value, 200) for name, value in sorted(facts.items())}
    records["facts"].append(texts.place(json.dumps(shown, ensure_ascii=False)))
    shape = tuple(_shape(name, metric, texts) for name, metric in record.metrics.items())
    records["shape"].append(shapes.setdefault(shape, len(shapes)))
    records["values"].append([x for m in record.metrics.values() for x in _values(m, texts)])


def _shape(name: str, metric: Metric, texts: _Texts) -> tuple[int, ...]:
    """Name, unit, direction, method; whether bounds, n and outliers follow the value."""
    return (
        texts.place(one_line(name, 60)),
        texts.place(one_line(metric.unit, 12)),
        texts.place(metric.better),
        texts.place(one_line(metric.method, 300)),
        int(_bounded(metric)),
        int(metric.n is not None),
        int(metric.outliers is not None),
    )


def _values(metric: Metric, texts: _Texts) -> list[Any]:
    """The value, or [place of the reason] where there is none; then bounds, n and outliers."""
    reason = [texts.place(one_line(metric.reason or "", 200))]
    values: list[Any] = [reason if metric.value is None else _compact(metric.value)]
    if metric.lo is not None and metric.hi is not None:
        values += [_compact(metric.lo), _compact(metric.hi)]
    values += [metric.n] if metric.n is not None else []
    beyond = metric.outliers
    return values + ([beyond["mild"], beyond["severe"]] if beyond is not None else [])


def _bounded(metric: Metric) -> bool:
    return metric.lo is not None and metric.hi is not None


def _compact(value: float) -> float | int:
    """Whole numbers as they are, others with five digits."""
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else short(value)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    unit = time_unit(value)
    return f"{number(value / unit.size)} {unit.name}"
