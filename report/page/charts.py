"""The page's interactive charts: over history length, accuracy against its cost, and learning.

Each is a function of the cells to a Chart, or to None where nothing was measured; `CHARTS` is all
that the page knows. A chart's name is that of its figure in report/figures.py, which stands in for
it where there is no JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from report.facets import Cell
from report.labels import Unit, byte_unit, number, time_unit
from report.notes import flag_notes, gap_notes
from report.page.chart import Chart, Part, keys_of, length_axis, panel_title, value_axis
from report.page.curves import Curve, curve_of, grid, refusals
from report.page.selection import of_workload, one_user
from report.page.trade_off import accuracy_latency, accuracy_time
from report.page.training import learning
from report.series import BY_LENGTH, Panel, panels

NO_MEASURE = "–"


def epoch_time(found: Sequence[Cell]) -> Chart | None:
    """Seconds of a training epoch over L."""
    says = "One pass over the training data. Hollow: scaled up from a part of an epoch."
    shown = panels(of_workload(found, "train_epoch"))
    metrics = {"epoch_time": ""}
    return _over_length(
        "epoch_time", "Training: one epoch", says, shown, metrics, time_unit, "epoch"
    )


def latency(found: Sequence[Cell]) -> Chart | None:
    """Percentiles of one user's request over L."""
    says = "From a history of L events to the ten best items, one user at a time."
    metrics = {"latency_p50": "p50", "latency_p95": "p95", "latency_p99": "p99"}
    shown = panels(one_user(found))
    return _over_length(
        "latency", "Serving: one user's list", says, shown, metrics, time_unit, "latency"
    )


def step_latency(found: Sequence[Cell]) -> Chart | None:
    """One more event of a user with a kept state, over the events before it."""
    says = "One more event from a kept state, by how many events came before it."
    shown = panels(of_workload(found, "serve_step"))
    metrics = {"latency_p50": "p50", "latency_p99": "p99"}
    return _over_length(
        "step_latency", "Serving: the next event", says, shown, metrics, time_unit, "latency"
    )


def memory(found: Sequence[Cell]) -> Chart | None:
    """Peak memory of training over L."""
    says = "How far a training step raises memory: of the process on a CPU, allocated on a GPU."
    shown = panels(of_workload(found, "train_epoch"))
    says += _batches(shown)
    metrics = {"memory_peak": ""}
    return _over_length(
        "memory", "Training: peak memory", says, shown, metrics, byte_unit, "peak memory"
    )


def _batches(shown: Sequence[Panel]) -> str:
    """Which batches were chosen by L; "" where each panel has one batch."""
    chosen = [panel for panel in shown if panel.facets["batch"] == BY_LENGTH]
    if not chosen:
        return ""
    at = {cell.seq_len: cell.facets["batch"] for panel in chosen for cell in panel.cells}
    shortest, longest = min(at), max(at)
    where = "" if len(chosen) == len(shown) else f' where a panel says "{BY_LENGTH}"'
    ends = f"from {at[shortest]} at L={shortest:,} to {at[longest]} at L={longest:,}"
    return f" The batch was chosen by L{where}, {ends}: memory at one batch grows otherwise."


def _over_length(
    name: str,
    title: str,
    says: str,
    found: Sequence[Panel],
    metrics: dict[str, str],
    unit_of: Callable[[float], Unit],
    what: str,
) -> Chart | None:
    """A chart of metrics over L; `metrics` maps each to its dash's meaning, "" for one alone."""
    main = next(iter(metrics))
    curves = [
        {
            metric: [curve_of(line, on_device(metric, panel)) for line in panel.lines]
            for metric in metrics
        }
        for panel in found
    ]
    values = [
        value
        for by_metric in curves
        for metric in by_metric
        for curve in by_metric[metric]
        for point in curve.points
        for value in (point.low, point.high)
        if value > 0
    ]
    measured = [p.value for c in curves for curve in c[main] for p in curve.points]
    told = [name for name in metrics if any(curve.points for c in curves for curve in c[name])]
    if not measured or not values:
        return None
    unit = unit_of(max(measured))
    parts = [
        _part(panel, by_metric, metrics, unit, main)
        for panel, by_metric in zip(found, curves, strict=True)
    ]
    at = sorted({seq_len for panel in found for seq_len in panel.lengths})
    return Chart(
        name,
        title,
        says,
        length_axis(at),
        value_axis(f"{what} ({unit.name})", [value / unit.size for value in values]),
        keys_of([line for panel in found for line in panel.lines]),
        parts,
        styles=tuple(metrics[name] for name in told if metrics[name]),
    )


def _part(
    panel: Panel, curves: dict[str, list[Curve]], metrics: dict[str, str], unit: Unit, main: str
) -> Part:
    part = Part(panel_title(panel.title))
    several = len(metrics) > 1
    part.head = ("Model", "L", *(["Percentile"] if several else []), unit.name, "from – to", "n")
    for metric, style in metrics.items():
        for curve in curves[metric]:
            _add(part, curve, style, unit)
    part.rows.sort(key=lambda row: [line.label for line in panel.lines].index(row[0]))
    part.notes = [
        *gap_notes([panel], on_device(main, panel)),
        *refusals(curves[main]),
        *flag_notes(panel.cells, main),
    ]
    return part


def on_device(metric: str, panel: Panel) -> str:
    """The metric's name on the panel's device: a GPU's memory is counted by its allocator."""
    on_gpu = panel.facets["device"] != "cpu"
    return "cuda_allocated_peak" if metric == "memory_peak" and on_gpu else metric


def _add(part: Part, curve: Curve, style: str, unit: Unit) -> None:
    """The curve's points and rows, and its fit."""
    label = curve.line.label
    for point in curve.points:
        if point.low <= 0:
            continue
        value, low, high = (v / unit.size for v in (point.value, point.low, point.high))
        part.add(
            line=label,
            x=point.seq_len,
            y=value,
            low=low,
            high=high,
            n=point.n,
            style=style,
            hollow=point.extrapolated,
        )
        bounds = f"{number(low)} – {number(high)}" if high > low else NO_MEASURE
        shown = f"~{number(value)}" if point.extrapolated else number(value)
        percentile = (style,) if style else ()
        part.rows.append((label, str(point.seq_len), *percentile, shown, bounds, str(point.n)))
    if curve.fit is None:
        return
    fitted = grid(curve.fit)
    part.fits["line"] += [label] * len(fitted["at"])
    part.fits["style"] += [style] * len(fitted["at"])
    part.fits["x"] += fitted["at"]
    for name, column in (("y", "value"), ("low", "low"), ("high", "high")):
        part.fits[name] += [value / unit.size for value in fitted[column]]


CHARTS: dict[str, Callable[[Sequence[Cell]], Chart | None]] = {
    "epoch_time": epoch_time,
    "latency": latency,
    "step_latency": step_latency,
    "memory": memory,
    "accuracy_time": accuracy_time,
    "accuracy_latency": accuracy_latency,
    "learning": learning,
}


def charts(found: Sequence[Cell]) -> list[Chart]:
    """The charts that have data."""
    made = [make(found) for make in CHARTS.values()]
    return [chart for chart in made if chart is not None]
