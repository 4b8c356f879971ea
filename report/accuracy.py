"""What the accuracy costs: NDCG@10 against training time, against latency, and while training.

Accuracy comes from `fit` only, the one workload that trains to the end; its points are means over
seeds with their range. Latency comes from `recommend` with one user at the same L of the same
data; where it was measured in another run than the accuracy, a note says which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.budget import SHARES, Budget, budgets_at
from report.draw import curve
from report.facets import Cell, cells
from report.labels import Unit, model_label, tick, time_unit
from report.load import Run
from report.notes import flag_notes, footer, gap_notes, kernel_note, repeat_notes
from report.palette import look, styled
from report.series import Line, Panel, Point, panels
from report.sheet import linear_room, model_handles, plain_ticks, sheet, style_handle

NDCG = "ndcg@10"
# A line whose points have a cost: the line, its accuracies, and the cost in seconds by L.
Priced = tuple[Line, list[Point], dict[int, Point]]


@styled
def accuracy_time(runs: Sequence[Run]) -> Figure | None:
    """NDCG@10 on the test items against the time of a training epoch."""
    found = panels(cells(runs, "fit"))
    priced = [[_priced(line, line, "epoch_time") for line in panel.lines] for panel in found]
    return _trade_off(
        "Accuracy against training time",
        found,
        priced,
        cost="epoch time",
        metric="epoch_time",
        notes=[*gap_notes(found, NDCG), *repeat_notes(found, NDCG)],
        used=[cell for panel in found for cell in panel.cells],
    )


@styled
def accuracy_latency(runs: Sequence[Run]) -> Figure | None:
    """NDCG@10 on the test items against one user's median latency at the same L."""
    served = [c for c in cells(runs, "recommend") if c.record.config.get("batch_size") == 1]
    found, fits = panels(served), panels(cells(runs, "fit"))
    priced, notes, used = [], list[str](), list(served)
    for panel in found:
        partners = _partners(panel, fits)
        priced.append(_join(panel, partners))
        used += [cell for partner in partners for cell in partner.cells]
        for run in dict.fromkeys(partner.facets["run"] for partner in partners):
            if run != panel.facets["run"]:
                notes.append(f"Accuracy from run {run}, latency from run {panel.facets['run']}.")
    lines = [
        Panel(p.title, [line for line, _, _ in ps], p.facets)
        for p, ps in zip(found, priced, strict=True)
    ]
    return _trade_off(
        "Accuracy against latency (one user, p50)",
        lines,
        priced,
        cost="latency p50",
        metric="latency_p50",
        notes=[
            *gap_notes(found, "latency_p50"),
            *gap_notes(fits, NDCG),
            *repeat_notes(fits, NDCG),
            *notes,
        ],
        used=used,
    )


@styled
def learning(runs: Sequence[Run]) -> Figure | None:
    """NDCG@10 on the validation items over seconds of training, a panel per L, a line per seed."""
    found = panels(
        [cell for cell in cells(runs, "fit")],
        by=lambda cell: f"L={cell.seq_len}",
    )
    curves = [[(line, _learned(line)) for line in panel.lines] for panel in found]
    seconds = [x for panel in curves for _, seeds in panel for xs, _ in seeds for x in xs]
    if not any(seeds for panel in curves for _, seeds in panel):
        return None
    used = [cell for panel in found for cell in panel.cells]
    unit = time_unit(max(seconds))
    budgets = [budgets_at(panel, panel.lengths[0], SHARES[0]) for panel in found]
    page = sheet(
        "Learning: NDCG@10 (validation) over training time",
        [panel.title for panel in found],
        handles=[
            *model_handles(found),
            style_handle("best epoch (one line per seed)", "none", "o"),
            style_handle(f"{SHARES[0]:.0%} of the best", ":"),
        ],
        notes=[*gap_notes(found, NDCG), *_reached(found, budgets), *flag_notes(used)],
        footer=[*kernel_note(used), *footer(used)],
    )
    for ax, panel, needed in zip(page.axes, curves, budgets, strict=True):
        for line, seeds in panel:
            for xs, ys in seeds:
                _seed(ax, line, [x / unit.size for x in xs], ys)
        for budget in needed[0:1]:
            ax.axhline(budget.target, color="#555555", lw=1.0, ls=":", label="target", zorder=0.9)
        _time_axis(ax, [seeds for _, seeds in panel], unit)
        ax.set_ylabel("NDCG@10, validation")
    return page.figure


def _reached(found: Sequence[Panel], budgets: Sequence[Sequence[Budget]]) -> list[str]:
    """What each model took to the dotted line, by panel."""
    return [
        f"To {SHARES[0]:.0%} of the best{f' ({panel.title})' if panel.title else ''}: "
        + "; ".join(budget.took() for budget in needed)
        for panel, needed in zip(found, budgets, strict=True)
        if needed
    ]


def _learned(line: Line) -> list[tuple[list[float], list[float]]]:
    """Seconds and validation NDCG of each record that has both."""
    learned = []
    for cell in (cell for group in line.cells.values() for cell in group if cell.ok):
        samples = cell.record.samples
        pairs = list(
            zip(samples.get("seconds", []), samples.get("valid_ndcg@10", []), strict=False)
        )
        if pairs:
            learned.append(([x for x, _ in pairs], [y for _, y in pairs]))
    return learned


def _seed(ax: Axes, line: Line, xs: list[float], ys: list[float]) -> None:
    style = look(line.model)
    best = ys.index(max(ys))
    ax.plot(xs, ys, color=style.color, ls=style.linestyle, lw=1.6, label=line.label)
    ax.plot(xs[best], ys[best], color=style.color, marker=style.marker, ls="none")


def _time_axis(ax: Axes, seeds: list[list[tuple[list[float], list[float]]]], unit: Unit) -> None:
    """Linear, or logarithmic where the slowest curve would press the others against the edge."""
    ends = [xs[-1] for line in seeds for xs, _ in line]
    starts = [xs[0] for line in seeds for xs, _ in line if xs[0] > 0]
    if ends and starts and max(ends) > 8 * min(ends):
        _cost_axis(ax, [*starts, *ends], unit)
    else:
        ax.set_xlim(left=0)
    ax.set_xlabel(f"training time ({unit.name})")


def _priced(line: Line, paid: Line, metric: str) -> Priced:
    costs = {point.seq_len: point for point in paid.points(metric) if point.low > 0}
    points = [
        replace(point, extrapolated=costs[point.seq_len].extrapolated)
        for point in line.points(NDCG)
        if point.seq_len in costs
    ]
    return line, points, costs


def _partners(panel: Panel, fits: Sequence[Panel]) -> list[Panel]:
    """Fits of the same data and objective: the same run's, or else those of other runs."""
    same = [
        fit
        for fit in fits
        if all(fit.facets[name] == panel.facets[name] for name in ("dataset", "objective"))
    ]
    own = [fit for fit in same if fit.facets["run"] == panel.facets["run"]]
    return own or same


def _join(panel: Panel, partners: Sequence[Panel]) -> list[Priced]:
    """Each served line with each fitted line of its model; a label says which fit where several."""
    joined = []
    for served in panel.lines:
        for partner in partners:
            for fitted in (line for line in partner.lines if line.model == served.model):
                label = _joint_label(served, fitted)
                if len(partners) > 1 and partner.title:
                    label += f" [fit: {partner.title}]"
                line = Line(fitted.model, label, fitted.cells)
                joined.append(_priced(line, served, "latency_p50"))
    return joined


def _joint_label(served: Line, fitted: Line) -> str:
    plain = model_label(served.model)
    names = [name for name in dict.fromkeys([served.label, fitted.label]) if name != plain]
    return " / ".join(names) or plain


def _trade_off(
    title: str,
    found: Sequence[Panel],
    priced: Sequence[Sequence[Priced]],
    *,
    cost: str,
    metric: str,
    notes: Sequence[str],
    used: Sequence[Cell],
) -> Figure | None:
    """NDCG@10 up, cost in seconds to the right, the points of a model joined in order of L."""
    points = [point for panel in priced for _, ps, _ in panel for point in ps]
    seconds = [costs[p.seq_len].value for panel in priced for _, ps, costs in panel for p in ps]
    if not points:
        return None
    unit = time_unit(max(seconds))
    page = sheet(
        title,
        [panel.title for panel in found],
        handles=model_handles(found),
        notes=[*notes, "Numbers beside the points: L.", *flag_notes(used, metric)],
        footer=[*kernel_note(used), *footer(used)],
    )
    for ax, panel in zip(page.axes, priced, strict=True):
        for line, ps, costs in panel:
            _curve_of_costs(ax, line, ps, costs, unit)
        _cost_axis(ax, seconds, unit)
        ax.set_xlabel(f"{cost} ({unit.name}), left is faster")
        ax.set_ylabel("NDCG@10, test")
    page.axes[0].set_ylim(linear_room(min(p.low for p in points), max(p.high for p in points), 0))
    return page.figure


def _curve_of_costs(
    ax: Axes, line: Line, points: list[Point], costs: dict[int, Point], unit: Unit
) -> None:
    curve(ax, line, points, size=1.0, x=lambda p: costs[p.seq_len].value / unit.size)
    color = look(line.model).color
    for place, point in enumerate(points):
        cost = costs[point.seq_len]
        if cost.n > 1:
            ax.hlines(point.value, cost.low / unit.size, cost.high / unit.size, color=color, lw=1.4)
        if len(points) <= 4 or place in (0, len(points) - 1):
            ax.annotate(
                str(point.seq_len),
                (cost.value / unit.size, point.value),
                textcoords="offset points",
                xytext=(6, 5),
                fontsize=9.5,
                color=color,
            )


def _cost_axis(ax: Axes, seconds: Sequence[float], unit: Unit) -> None:
    low, high = min(seconds) / unit.size / 1.3, max(seconds) / unit.size * 1.3
    if high / low < 5:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(5), middle * math.sqrt(5)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = plain_ticks(low, high, crowded=150)
    ax.set_xticks(ticks, [tick(value) for value in ticks])
    ax.set_xticks([], minor=True)
