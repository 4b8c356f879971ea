"""Accuracy against its cost: a point per model and L, NDCG@10 up, seconds to the right."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from report.facets import Cell
from report.labels import number, time_unit
from report.page.chart import Chart, Part, keys_of, linear_axis, panel_title, value_axis
from report.page.seeds import accuracies, fitted
from report.page.selection import of_workload, one_user
from report.series import Line, Panel, panels

# A point: the line, L, seconds, NDCG@10 of each seed, a remark.
Point = tuple[Line, int, float, list[float], str]
HEAD = ("Model", "L", "NDCG@10", "seeds, lowest – highest", "Remark")


def accuracy_time(found: Sequence[Cell]) -> Chart | None:
    """NDCG@10 on the test items against the time of an epoch of the same fits."""
    says = "Higher is more accurate, further left is faster; a point per model and L."
    shown = panels(of_workload(found, "fit"))
    return _trade_off("accuracy_time", "Accuracy against training", says, shown, _own, "epoch")


def accuracy_latency(found: Sequence[Cell]) -> Chart | None:
    """NDCG@10 against one user's median latency at the same L."""
    says = "Higher is more accurate, further left is faster; latency is one user's median."
    fits = fitted(found)

    def price(panel: Panel) -> list[Point]:
        made, own = [], panel.facets["run"]
        for line in panel.lines:
            known = accuracies(fits, panel.facets["dataset"], line.model, "", own)
            for point in line.points("latency_p50"):
                if seeds := known.get(point.seq_len):
                    remark = f"accuracy from run {seeds.run}" if seeds.run != own else ""
                    made.append((line, point.seq_len, point.value, seeds.ndcg, remark))
        return made

    shown = panels(one_user(found))
    return _trade_off(
        "accuracy_latency", "Accuracy against latency", says, shown, price, "latency p50"
    )


def _own(panel: Panel) -> list[Point]:
    """A fit line's accuracy and epoch time at each L where it has both."""
    made = []
    for line in panel.lines:
        costs = {point.seq_len: point.value for point in line.points("epoch_time")}
        for seq_len, group in sorted(line.cells.items()):
            seeds = [
                value
                for cell in group
                if cell.ok and (value := cell.record.value("ndcg@10")) is not None
            ]
            stopped = any("max_epochs" in cell.record.flags for cell in group)
            remark = "stopped by the limit of epochs" if stopped else ""
            if seeds and seq_len in costs:
                made.append((line, seq_len, costs[seq_len], seeds, remark))
    return made


def _trade_off(
    name: str,
    title: str,
    says: str,
    found: Sequence[Panel],
    price: Callable[[Panel], list[Point]],
    cost: str,
) -> Chart | None:
    priced = [(panel, points) for panel in found if (points := price(panel))]
    seconds = [point[2] for _, points in priced for point in points if point[2] > 0]
    if not seconds:
        return None
    unit = time_unit(max(seconds))
    accuracy = [value for _, points in priced for point in points for value in point[3]]
    return Chart(
        name,
        title,
        says,
        value_axis(f"{cost} ({unit.name})", [value / unit.size for value in seconds]),
        linear_axis("NDCG@10, test items", accuracy),
        keys_of([point[0] for _, points in priced for point in points]),
        [_part(panel, points, unit.size, f"{cost} ({unit.name})") for panel, points in priced],
        joined=False,
    )


def _part(panel: Panel, points: Sequence[Point], size: float, cost: str) -> Part:
    part = Part(panel_title(panel.title), head=(HEAD[0], HEAD[1], cost, *HEAD[2:]))
    for line, seq_len, seconds, seeds, remark in points:
        mean = statistics.fmean(seeds)
        label = f"L={seq_len}"
        part.add(
            line=line.label,
            x=seconds / size,
            y=mean,
            low=min(seeds),
            high=max(seeds),
            n=len(seeds),
            note=f"{label}, {remark}" if remark else label,
            label=label,
        )
        spread = f"{len(seeds)}, {min(seeds):.4f} – {max(seeds):.4f}" if len(seeds) > 1 else "1"
        row = (line.label, str(seq_len), number(seconds / size), f"{mean:.4f}", spread, remark)
        part.rows.append(row)
    return part
