"""The numbers as a table in the terminal: one row per model and L, then the cells that did not run.

Rows hold what was measured under the same conditions; where one workload was run in several ways
(two batch sizes, two kernels) each way has a row of its own, named. Wide tables are cut in two
rather than numbers in half. Accuracy is that of `fit`: mean ± standard deviation over n seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from report.disturbed import disturbances
from report.facets import CLOZE, Cell, cells, settings
from report.labels import BYTES, model_label, number, one_line, order_of, time_unit
from report.load import Run
from report.notes import footer
from report.series import EXTRAPOLATED, settings_text, typical
from report.stopped import stopped_after

# Under these conditions all rows of one table were measured; the rest may differ by workload.
_TABLE = ("run", "dataset", "machine", "commit", "device", "dtype", "threads")
_TIMED = ("time", "tail", "derived")  # kinds of metrics that suffer from others' work
Group = list[Cell]


@dataclass(frozen=True)
class Column:
    """A metric's column: its title, the workload ("" for any), the metric, how it is written."""

    title: str
    workload: str
    metric: str
    write: Callable[[float], str]


def _seconds(value: float) -> str:
    unit = time_unit(value)
    return f"{number(value / unit.size)} {unit.name}"


def _mebibytes(value: float) -> str:
    return f"{value / BYTES[0].size:,.0f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


COLUMNS = (
    Column("epoch", "train_epoch", "epoch_time", _seconds),
    Column("samples/s", "train_epoch", "samples_per_second", _count),
    Column("p50", "recommend", "latency_p50", _seconds),
    Column("p95", "recommend", "latency_p95", _seconds),
    Column("users/s offline", "recommend offline", "users_per_second", _count),
    Column("users/s at p99", "recommend server", "throughput_at_p99", _count),
    Column("events/s at p99", "serve_step server", "throughput_at_p99", _count),
    Column("peak MiB", "train_epoch", "memory_peak", _mebibytes),
    Column("GPU MiB", "train_epoch", "cuda_allocated_peak", _mebibytes),
    Column("NDCG@10", "fit", "ndcg@10", lambda value: f"{value:.4f}"),
    Column("HR@10", "fit", "hr@10", lambda value: f"{value:.4f}"),
    Column("MRR@10", "fit", "mrr@10", lambda value: f"{value:.4f}"),
    Column("params", "", "params", _count),
)
_SHOWN = {column.workload for column in COLUMNS}


def print_table(runs: Sequence[Run], console: Console) -> None:
    """Print the data line, the tables and the list of what did not run."""
    for run in runs:
        lead = f"{run.label}: " if len(runs) > 1 else ""
        console.print(Text(lead + data_line(run)), soft_wrap=True)
    for line in footer(cells(runs))[1:]:
        console.print(Text(line), soft_wrap=True)
    limit = stopped_after(cells(runs, "fit"))
    fitted = f"fits cut off after {limit} epochs" if limit else "fit"
    console.print(
        f"p50, p95: one user's list; peak: over the baseline; accuracy: of {fitted}, on test items",
        soft_wrap=True,
    )
    groups = _groups(cells(runs))
    varying = [name for name in _TABLE if len({key[name] for key, _ in groups}) > 1]
    for key, group in groups:
        rows = table_rows(group)
        if rows:
            console.print()
            title = " · ".join(key[name] for name in varying)
            _print_rows(rows, title, console)
    for line in failures(cells(runs), several=len(runs) > 1):
        console.print(Text(line), soft_wrap=True)


def data_line(run: Run) -> str:
    """Which data set was used and why."""
    if run.dataset_line:
        return f"Data: {run.dataset_line.removeprefix('data:').strip()}"
    reasons = dict.fromkeys(
        f"{cell.facets['dataset']} ({one_line(str(reason))})"
        if (reason := cell.record.resolved.get("dataset_reason"))
        else cell.facets["dataset"]
        for cell in cells([run])
        if cell.ok
    )
    return f"Data: {'; '.join(reasons) or 'unknown, since no cell ran'}"


def table_rows(group: Sequence[Cell]) -> list[dict[str, str]]:
    """A row per model, L and way of running it; column title -> text."""
    by_place: dict[tuple[str, int, str], Group] = {}
    for cell in group:
        place = (cell.model, cell.seq_len, cell.facets["objective"])
        by_place.setdefault(place, []).append(cell)
    objectives = {objective for _, _, objective in by_place}
    causal = objectives - {CLOZE}
    rows = []
    for place, here in sorted(by_place.items(), key=lambda item: (order_of(item[0][0]), item[0])):
        model, seq_len, objective = place
        named = len(causal) > 1 or (objective == CLOZE and bool(causal))
        for way, chosen in _ways(here, group):
            apart = ", ".join(text for text in (objective if named else "", way) if text)
            label = model_label(model) + (f" ({one_line(apart, 60)})" if apart else "")
            row = {"model": label, "L": str(seq_len)} | _texts(chosen)
            if len(row) > 2:
                rows.append(row)
    return rows


def failures(found: Sequence[Cell], *, several: bool) -> list[str]:
    """The cells that did not run, each with its status and reason."""
    failed = [cell for cell in found if not cell.ok]
    if not failed:
        return []
    lines = ["", f"Did not run: {len(failed)} of {len(found)} cells"]
    for cell in failed:
        lead = f"{cell.run.label}: " if several else ""
        name, reason = one_line(cell.record.cell_id, 90), one_line(str(cell.record.reason), 200)
        lines.append(f"  {lead}{name}: {cell.record.status}, {reason}")
    return lines


def _groups(found: Sequence[Cell]) -> list[tuple[dict[str, str], Group]]:
    groups: dict[tuple[str, ...], Group] = {}
    for cell in found:
        groups.setdefault(tuple(cell.facets[name] for name in _TABLE), []).append(cell)
    return [(dict(zip(_TABLE, key, strict=True)), group) for key, group in groups.items()]


def _ways(here: Group, group: Sequence[Cell]) -> list[tuple[str, Group]]:
    """The main row, then a row for each way of a workload that was run in more than one.

    Requests of more than one user have no column; they are left out.
    """
    ways: dict[str, dict[str, Group]] = {}
    for cell in here:
        if cell.workload in _SHOWN and not _of_many_users(cell):
            ways.setdefault(cell.workload, {}).setdefault(_way(cell, here, group), []).append(cell)
    single = [next(iter(by_way.items())) for by_way in ways.values() if len(by_way) == 1]
    shared = ", ".join(dict.fromkeys(way for way, _ in single if way))
    rows = [(shared, [cell for _, cells_here in single for cell in cells_here])] if single else []
    return rows + [row for by_way in ways.values() if len(by_way) > 1 for row in by_way.items()]


def _of_many_users(cell: Cell) -> bool:
    return cell.workload == "recommend" and cell.record.config.get("batch_size") != 1


def _way(cell: Cell, here: Group, group: Sequence[Cell]) -> str:
    """What sets the cell apart: its batch in its workload, its settings among its repeats."""
    alike = [c for c in group if c.workload == cell.workload and not _of_many_users(c)]
    batches = {other.facets["batch"] for other in alike}
    own = [settings(other.record) for other in here if other.workload == cell.workload]
    keys = sorted({key for texts in own for key in texts})
    differing = [key for key in keys if len({texts.get(key) for texts in own}) > 1]
    parts = [cell.facets["batch"]] if len(batches) > 1 else []
    return ", ".join(parts + ([settings_text(cell, differing)] if differing else []))


def _texts(chosen: Group) -> dict[str, str]:
    texts: dict[str, str] = {}
    for column in COLUMNS:
        records = [
            cell.record for cell in chosen if cell.ok and column.workload in ("", cell.workload)
        ]
        good = [record for record in records if record.value(column.metric) is not None]
        values = [value for record in good if (value := record.value(column.metric)) is not None]
        if not values:
            continue
        kind = good[0].metrics[column.metric].kind
        text = column.write(typical(values, kind))
        if column.metric in EXTRAPOLATED and any("extrapolated" in r.flags for r in good):
            text = f"~{text}"
        if kind in _TIMED and disturbances(good):
            text = f"{text} !"
        if kind == "accuracy":
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            text, texts["seeds"] = text + spread, f"n={len(values)}"
        texts[column.title] = text
    return texts


def _print_rows(rows: Sequence[dict[str, str]], title: str, console: Console) -> None:
    """One table, or where that is wider than the terminal, speed and accuracy apart."""
    order = ["model", "L", *(column.title for column in COLUMNS), "seeds"]
    shown = [name for name in order if any(name in row for row in rows)]
    accuracy = [name for name in shown if name.endswith("@10") or name == "seeds"]
    whole = _table(rows, shown, title)
    if not accuracy or _width(whole, console) <= console.width or not console.is_terminal:
        _print(whole, console)
    else:
        _print(_table(rows, [name for name in shown if name not in accuracy], title), console)
        _print(_table(rows, ["model", "L", *accuracy], title), console)
    if any(text.startswith("~") for row in rows for text in row.values()):
        console.print(Text("~ extrapolated from a part of an epoch"))
    if any(text.endswith(" !") for row in rows for text in row.values()):
        console.print(Text("! measured while the processor was busy or throttled"))


def _table(rows: Sequence[dict[str, str]], shown: Sequence[str], title: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title=Text(title) if title else None,
        title_justify="left",
    )
    for name in shown:
        table.add_column(
            name, justify="left" if name == "model" else "right", no_wrap=name != "model"
        )
    for row in rows:
        table.add_row(*(Text(row.get(name, "-")) for name in shown))
    return table


def _print(table: Table, console: Console) -> None:
    """Never narrower than its numbers, since half a number is a wrong number."""
    before = console.width
    console.width = max(before, _width(table, console))
    console.print(table)
    console.width = before


def _width(table: Table, console: Console) -> int:
    options = console.options.update(max_width=400)
    return Measurement.get(console, options, table).maximum
