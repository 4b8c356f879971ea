"""Tables of what figures show that are pictures here, and of what the numbers say together.

Memory by phase, tails and the roofline as numbers; the Pareto front with its probabilities, what a
given accuracy costs, which differences are more than chance, how times grow with L.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from report.budget import Cost, budgets
from report.facets import cells
from report.fitted import crossings, fit_of
from report.front import COSTS, NDCG, Front, fronts
from report.labels import BYTES, number, time_unit
from report.load import Run
from report.page.chart import panel_title
from report.palette import PHASES, SHARES
from report.roofline import TIMES, WORDS, placed
from report.scaling import NotFitted
from report.series import Panel, Point, panels
from report.serving import one_user
from report.significance import Contrast, PairedTest, contrasts
from report.stopped import stopped_after
from report.time_parts import shares

NONE = "–"


@dataclass(frozen=True)
class Table:
    """A heading, the columns' names and rows of texts; `says` is what it means."""

    title: str
    says: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def together(runs: Sequence[Run]) -> list[Table]:
    """What the numbers say together; a table without rows is left out."""
    made = [make(runs) for make in (_growth, _front, _budgets, _contrasts)]
    return [table for table in made if table.rows]


def behind_pictures(runs: Sequence[Run]) -> dict[str, Table]:
    """Name of a figure -> the numbers in it."""
    made = {name: make(runs) for name, make in PICTURES.items()}
    return {name: table for name, table in made.items() if table.rows}


def _growth(runs: Sequence[Run]) -> Table:
    """Exponents of fits, and where two models change places."""
    rows = []
    trained, served = panels(cells(runs, "train_epoch")), panels(one_user(runs))
    for found, metric, name in (
        (trained, "epoch_time", "epoch"),
        (served, "latency_p50", "latency p50"),
    ):
        for panel in found:
            for line in panel.lines:
                fit = fit_of(line, metric)
                if not isinstance(fit, NotFitted):
                    power = f"{fit.exponent:.2f} ({fit.exponent_low:.2f} – {fit.exponent_high:.2f})"
                    span = f"L={fit.shortest} to {fit.longest}"
                    rows.append((_where(panel), name, line.label, f"grows as L^{power}, {span}"))
            for crossing in crossings(panel, metric):
                pair = f"{crossing.first}, {crossing.second}"
                rows.append((_where(panel), name, pair, crossing.in_words()))
    says = "Exponents with their 95% intervals, and the lengths at which two models change places."
    return Table("Growth with length", says, ("Where", "What", "Model", "Finding"), rows)


def _front(runs: Sequence[Run]) -> Table:
    rows = [
        (
            _at_length(front.panel, front.seq_len),
            label,
            f"{statistics.fmean(samples[NDCG]):.4f}",
            *(_amount(statistics.median(samples[metric]), metric) for metric in COSTS),
            f"{front.probabilities[label]:.0%}",
            _beaten(front, label),
        )
        for front in fronts(runs)
        for label, samples in front.points.items()
    ]
    says = (
        "On the front is what no other model equals in all four and beats in one; the probability "
        "comes from drawing seeds and processes again."
    )
    head = ("Where", "Model", "NDCG@10", *COSTS.values(), "On the front", "Beaten by")
    return Table("Pareto front", says, head, rows)


def _beaten(front: Front, label: str) -> str:
    by = front.beaten.get(label)
    return NONE if by is None else f"{by.by}, in {by.probability:.0%}"


def _budgets(runs: Sequence[Run]) -> Table:
    found = budgets(runs)
    rows = [
        (
            _at_length(one.panel, one.seq_len),
            one.label,
            f"{one.share:.0%} ({one.target:.4f})",
            f"{one.reached} of {one.seeds}",
            _cost(one.epochs, lambda value: f"{value:.0f}"),
            _cost(one.seconds, _seconds),
            NONE if one.joules is None else _cost(one.joules, lambda value: f"{number(value)} J"),
        )
        for one in found
    ]
    says = (
        "Training to a share of the best validation accuracy: medians over seeds, > where half of "
        "them or more never got there."
    )
    if reasons := dict.fromkeys(one.no_joules for one in found if one.no_joules):
        says += f" No energy: {'; '.join(reasons)}."
    head = ("Where", "Model", "Target", "Seeds that reach it", "Epochs", "Time", "Energy")
    return Table("What accuracy costs", says, head, rows)


def _contrasts(runs: Sequence[Run]) -> Table:
    rows = [
        (
            _at_length(one.panel, one.seq_len),
            f"{one.first}, {one.second}",
            _test(one.seeds),
            _test(one.users),
            _verdict(one),
        )
        for one in contrasts(runs)
    ]
    says = "Paired t tests of NDCG@10 over seeds and over users, adjusted by Holm over all pairs."
    head = ("Where", "Models", "Over seeds", "Over users", "Told apart at 5%")
    return Table("Which differences of accuracy are more than chance", says, head, rows)


def _test(test: PairedTest | None) -> str:
    if test is None:
        return NONE
    return f"{test.difference:+.4f}, p = {test.p:.2g}, n = {test.count}"


def _verdict(one: Contrast) -> str:
    return "yes" if one.distinguishable else "no"


def _phases(runs: Sequence[Run]) -> Table:
    rows = []
    for panel in panels(cells(runs, "train_epoch")):
        for line in panel.lines:
            points = {name: line.points(f"memory_{name}") for name in PHASES}
            for seq_len in sorted(line.cells):
                at = [_at(points[name], seq_len) for name in PHASES]
                if any(at):
                    rows.append((_where(panel), line.label, str(seq_len), *at))
    head = ("Where", "Model", "L", *(f"{name} (MiB)" for name in PHASES))
    return Table("Memory of training by phase", "How far each phase raised the peak.", head, rows)


def _shares(runs: Sequence[Run]) -> Table:
    rows = [
        (
            _where(panel),
            line.label,
            str(seq_len),
            *(f"{stack[name]:.0%}" if name in stack else NONE for name in SHARES),
        )
        for panel in panels(cells(runs, "train_epoch"))
        for line in panel.lines
        for seq_len, stack in sorted(shares(line).items())
    ]
    says = "Of a training step, forward and backward together."
    return Table("Share of time by part of a model", says, ("Where", "Model", "L", *SHARES), rows)


def _at(points: Sequence[Point], seq_len: int) -> str:
    values = [point.value for point in points if point.seq_len == seq_len]
    return number(values[0] / BYTES[0].size) if values else ""


def _tails(runs: Sequence[Run]) -> Table:
    names = ("latency_p50", "latency_p90", "latency_p95", "latency_p99")
    rows = []
    stepped = [c for c in cells(runs, "serve_step") if c.record.config.get("batch_size") == 1]
    shown = panels([*one_user(runs), *stepped], by=lambda cell: WORDS[cell.workload])
    for panel in shown:
        for line in panel.lines:
            points = {name: {p.seq_len: p.value for p in line.points(name)} for name in names}
            for seq_len in sorted(line.cells):
                at = [points[name].get(seq_len) for name in names]
                texts = [NONE if value is None else _seconds(value) for value in at]
                rows.append((_where(panel), line.label, str(seq_len), *texts))
    head = ("Where", "Model", "L", "p50", "p90", "p95", "p99")
    return Table("Tails of latency", "Percentiles of one user's requests.", head, rows)


def _roofline(runs: Sequence[Run]) -> Table:
    rows = [
        (
            _where(panel),
            WORDS[cell.workload],
            line.label,
            str(cell.seq_len),
            number(place.intensity),
            number(place.achieved / 1e9),
            f"{place.achieved / min(place.peak, place.intensity * place.bandwidth):.0%}",
        )
        for panel in panels([c for c in cells(runs, *TIMES) if placed(c) is not None])
        for line in panel.lines
        for group in line.cells.values()
        for cell in group
        if (place := placed(cell)) is not None
    ]
    says = "Of the machine's measured limit, which is its FLOP/s or its bandwidth."
    head = ("Where", "Workload", "Model", "L", "FLOP a byte", "GFLOP/s", "Of the limit")
    return Table("Roofline", says, head, rows)


PICTURES: dict[str, Callable[[Sequence[Run]], Table]] = {
    "memory_phases": _phases,
    "time_parts": _shares,
    "tails": _tails,
    "roofline": _roofline,
    "pareto": _front,
}


def _where(panel: Panel) -> str:
    return panel_title(panel.title) or panel.facets["dataset"]


def _at_length(panel: Panel, seq_len: int) -> str:
    """ "ML-100K, L=50, quick · 2 threads, stopped after 6 epochs": with what sets it apart."""
    dataset = panel.facets["dataset"]
    apart = [part for part in panel.title.split(" · ") if part not in ("", dataset)]
    limit = stopped_after([cell for cell in panel.cells if cell.seq_len == seq_len])
    parts = [dataset, f"L={seq_len}", panel_title(" · ".join(apart))]
    parts.append(f"stopped after {limit} epochs" if limit else "")
    return ", ".join(part for part in parts if part)


def _cost(cost: Cost, write: Callable[[float], str]) -> str:
    if cost.value is not None:
        return write(cost.value)
    return NONE if cost.beyond is None else f"> {write(cost.beyond)}"


def _amount(value: float, metric: str) -> str:
    return f"{number(value / BYTES[0].size)} MiB" if metric.endswith("peak") else _seconds(value)


def _seconds(value: float) -> str:
    unit = time_unit(value)
    return f"{number(value / unit.size)} {unit.name}"
