"""The Pareto front of accuracy, latency, training time and memory, with its uncertainty.

Accuracy comes from `fit`, latency from `recommend` with one user, the time of an epoch and its peak
memory from `train_epoch`: of the same data, objective and L, and of the same run where it has them.
A model that lacks one of the four is left out, and a note says why.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.curves import samples_of
from report.facets import Cell, cells
from report.labels import BYTES, Unit, byte_unit, number, tick, time_unit
from report.load import Run
from report.notes import flag_notes, footer, kernel_note
from report.palette import look, styled
from report.pareto import Dominance, dominances, front_probabilities
from report.peak import PEAK, with_peak
from report.series import Line, Panel, panels
from report.serving import one_user
from report.sheet import linear_room, model_handles, plain_ticks, sheet

NDCG = "ndcg@10"
COSTS = {"latency_p50": "latency p50", "epoch_time": "epoch time", PEAK: "peak memory"}
HIGHEST = (NDCG,)


@dataclass(frozen=True)
class Front:
    """The models of one panel of fits at one L that all four metrics are known of.

    Args:
        points: label -> metric -> samples: of seeds, processes, else rounds.
        probabilities: label -> probability to be on the front.
        beaten: label -> who beats it most often, for those that are ever beaten.
        left_out: label -> the metric that it lacks.
        runs: the runs that numbers were taken from.
    """

    panel: Panel
    seq_len: int
    lines: dict[str, Line]
    points: dict[str, dict[str, list[float]]]
    probabilities: dict[str, float]
    beaten: dict[str, Dominance]
    left_out: dict[str, str]
    runs: list[str]
    used: list[Cell]


def fronts(runs: Sequence[Run], *, seed: int = 0) -> list[Front]:
    """One front for each panel of fits and L at which two models have all four metrics."""
    served = panels(one_user(runs))
    trained = panels([with_peak(cell) for cell in cells(runs, "train_epoch")])
    found = []
    for panel in panels(cells(runs, "fit")):
        for seq_len in panel.lengths:
            partners = [_partner(panel, others, seq_len) for others in (served, trained)]
            front = _front(panel, seq_len, partners[0], partners[1], seed)
            found += [front] if front is not None else []
    return found


def _partner(panel: Panel, others: Sequence[Panel], seq_len: int) -> Panel | None:
    """The panel of the same data and objective that has this L, of the same run if there is one."""
    same = [
        other
        for other in others
        if seq_len in other.lengths
        and all(other.facets[name] == panel.facets[name] for name in ("dataset", "objective"))
    ]
    own = [other for other in same if other.facets["run"] == panel.facets["run"]]
    return next(iter(own or same), None)


def _front(
    panel: Panel, seq_len: int, served: Panel | None, trained: Panel | None, seed: int
) -> Front | None:
    points, lines, left_out = dict[str, dict[str, list[float]]](), dict[str, Line](), {}
    used = list[Cell]()
    for line in panel.lines:
        groups = {
            NDCG: line.cells.get(seq_len, []),
            "latency_p50": _twin(line, served, seq_len),
            "epoch_time": _twin(line, trained, seq_len),
            PEAK: _twin(line, trained, seq_len),
        }
        samples = {name: samples_of(group, name) for name, group in groups.items()}
        lacking = [name for name, values in samples.items() if not values]
        if lacking:
            left_out[line.label] = COSTS.get(lacking[0], "NDCG@10")
            continue
        points[line.label], lines[line.label] = samples, line
        used += [cell for name in (NDCG, "latency_p50", "epoch_time") for cell in groups[name]]
    if len(points) < 2:
        return None
    return Front(
        panel=panel,
        seq_len=seq_len,
        lines=lines,
        points=points,
        probabilities=front_probabilities(points, highest=HIGHEST, seed=seed),
        beaten=dominances(points, highest=HIGHEST, seed=seed),
        left_out=left_out,
        runs=list(dict.fromkeys(cell.facets["run"] for cell in used)),
        used=used,
    )


def _twin(line: Line, panel: Panel | None, seq_len: int) -> list[Cell]:
    """The same model's cells in another panel: of the line of the same name, else its first."""
    lines = [other for other in panel.lines if other.model == line.model] if panel else []
    lines = [other for other in lines if other.label == line.label] or lines
    return lines[0].cells.get(seq_len, []) if lines else []


@styled
def pareto(runs: Sequence[Run]) -> Figure | None:
    """NDCG@10 against latency and against the time of an epoch, each point with its probability."""
    found = fronts(runs)
    if not found:
        return None
    shown = [(front, metric) for front in found for metric in ("latency_p50", "epoch_time")]
    used = [cell for front in found for cell in front.used]
    page = sheet(
        "Pareto front: accuracy, latency, training time and memory",
        [_title(front) if metric == "latency_p50" else "" for front, metric in shown],
        handles=model_handles([Panel("", list(f.lines.values()), {}) for f in found], lines=False),
        notes=_notes(found) + flag_notes(used),
        footer=[*kernel_note(used), *footer(used)],
        columns=2,
        panel_height=3.0,
    )
    memory = [_middle(samples, PEAK) for front in found for samples in front.points.values()]
    scores = [score for front in found for s in front.points.values() for score in s[NDCG]]
    for ax, (front, metric) in zip(page.axes, shown, strict=True):
        costs = [_middle(samples, metric) for f in found for samples in f.points.values()]
        unit = time_unit(max(costs))
        ordered = sorted(front.points, key=lambda name: _middle(front.points[name], NDCG))
        for place, label in enumerate(ordered):
            samples = front.points[label]
            area = _middle(samples, PEAK) / max(memory)
            diameter = 5 + 6 * area**0.5
            _point(ax, front, label, metric, unit.size, diameter)
            # The lower half has its numbers below, so that neighbours' don't meet.
            above = -diameter if 2 * place < len(ordered) - 1 else diameter
            _number(ax, front, label, metric, unit.size, above)
        _cost_axis(ax, costs, unit)
        ax.set_xlabel(f"{COSTS[metric]} ({unit.name}), left is faster")
        ax.set_ylabel("NDCG@10, test")
    low, high = min(scores), max(scores)
    page.axes[0].set_ylim(linear_room(low - 0.1 * (high - low), high, 2))
    return page.figure


def _title(front: Front) -> str:
    return " · ".join(text for text in (f"L={front.seq_len}", front.panel.title) if text)


def _middle(samples: dict[str, list[float]], metric: str) -> float:
    values = samples[metric]
    return statistics.fmean(values) if metric == NDCG else statistics.median(values)


def _point(ax: Axes, front: Front, label: str, metric: str, size: float, diameter: float) -> None:
    style, samples = look(front.lines[label].model), front.points[label]
    x, y = _middle(samples, metric) / size, _middle(samples, NDCG)
    ax.vlines(x, min(samples[NDCG]), max(samples[NDCG]), color=style.color, lw=1.2)
    ax.hlines(
        y, min(samples[metric]) / size, max(samples[metric]) / size, color=style.color, lw=1.2
    )
    likely = front.probabilities[label]
    ax.plot(
        x,
        y,
        color=style.color,
        marker=style.marker,
        markersize=diameter,
        markerfacecolor=style.color if likely >= 0.5 else "white",
        markeredgewidth=1.6,
        ls="none",
        label=label,
        zorder=3,
    )


def _number(ax: Axes, front: Front, label: str, metric: str, size: float, above: float) -> None:
    """The probability beside its point; below where `above` is negative, in points."""
    samples = front.points[label]
    ax.annotate(
        f"{front.probabilities[label]:.0%}",
        (_middle(samples, metric) / size, _middle(samples, NDCG)),
        textcoords="offset points",
        xytext=(abs(above) / 2 + 1, above / 2 + (2 if above > 0 else -2)),
        va="bottom" if above > 0 else "top",
        fontsize=9.5,
        color=look(front.lines[label].model).color,
        bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none", "alpha": 0.75},
        zorder=7,
    )


def _cost_axis(ax: Axes, costs: Sequence[float], unit: Unit) -> None:
    low, high = min(costs) / unit.size / 1.6, max(costs) / unit.size * 2.2
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ticks = plain_ticks(low, high, crowded=60)
    ax.set_xticks(ticks, [tick(value) for value in ticks])
    ax.set_xticks([], minor=True)


def _notes(found: Sequence[Front]) -> list[str]:
    memory = [_middle(samples, PEAK) for front in found for samples in front.points.values()]
    unit = byte_unit(max(memory)) if max(memory) else BYTES[0]
    sizes = f"{number(min(memory) / unit.size)} to {number(max(memory) / unit.size)} {unit.name}"
    notes = [
        "Number: probability that no other model is at least as good in NDCG@10, latency p50, "
        "epoch time and peak memory, and better in one; filled from 50%. Bars: their range.",
        f"Marker area: peak memory of training, {sizes}.",
    ]
    for front in found:
        where = _title(front)
        notes += [
            f"{where}: {label} is beaten in all four by {by.by} in {by.probability:.0%} of draws"
            for label, by in front.beaten.items()
            if by.probability >= 0.5
        ]
        notes += [f"{where}: {label} left out, no {name}" for label, name in front.left_out.items()]
        if len(front.runs) > 1:
            notes.append(f"{where}: numbers from runs {', '.join(front.runs)}.")
    return notes
