"""What the run says in one sentence per data set, and no more than it says.

At the longest L that most models share: the fastest to train, the most accurate, and whether the
gap to the second is larger than the spread over seeds. An extrapolated time or a missing model is
said too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from report.facets import cells
from report.labels import number, time_unit
from report.load import Run
from report.series import Line, Panel, Point, panels


@dataclass(frozen=True)
class Ranked:
    """The lines that have a metric at one L, the best first."""

    seq_len: int
    entries: list[tuple[Line, Point]]


def findings(runs: Sequence[Run]) -> list[str]:
    """One sentence per panel of training times and per panel of accuracies."""
    sentences = [_fastest(panel) for panel in panels(cells(runs, "train_epoch"))]
    sentences += [_most_accurate(panel) for panel in panels(cells(runs, "fit"))]
    return [sentence for sentence in sentences if sentence]


def rank(panel: Panel, metric: str, *, highest: bool) -> Ranked | None:
    """The lines at the L that most of them have, the longest such L; None for fewer than two."""
    at: dict[int, list[tuple[Line, Point]]] = {}
    for line in panel.lines:
        for point in line.points(metric):
            at.setdefault(point.seq_len, []).append((line, point))
    if not at:
        return None
    seq_len = max(at, key=lambda length: (len(at[length]), length))
    entries = sorted(at[seq_len], key=lambda entry: entry[1].value, reverse=highest)
    return Ranked(seq_len, entries) if len(entries) > 1 else None


def _fastest(panel: Panel) -> str | None:
    ranked = rank(panel, "epoch_time", highest=False)
    if ranked is None:
        return None
    (line, point), (second, next_point) = ranked.entries[:2]
    unit = time_unit(point.value)
    estimated = " (extrapolated)" if point.extrapolated or next_point.extrapolated else ""
    return (
        f"{_where(panel, ranked)} the fastest to train is {line.label}: "
        f"{number(point.value / unit.size)} {unit.name} an epoch, "
        f"{next_point.value / point.value:.2f} times as fast as {second.label}{estimated}"
        f"{_absent(panel, ranked)}."
    )


def _most_accurate(panel: Panel) -> str | None:
    ranked = rank(panel, "ndcg@10", highest=True)
    if ranked is None:
        return None
    (line, point), (second, other) = ranked.entries[:2]
    return (
        f"{_where(panel, ranked)} the highest mean NDCG@10 is {line.label}'s, {point.value:.4f}, "
        f"against {other.value:.4f} of {second.label}; {_spread(point, other)}"
        f"{_absent(panel, ranked)}."
    )


def _spread(best: Point, other: Point) -> str:
    """What the seeds allow to be said of the difference."""
    n = min(best.n, other.n)
    if n < 2:
        return "one seed, so the difference may be chance"
    if best.low > other.high:
        return f"n = {n} seeds, and their ranges do not overlap"
    return f"n = {n} seeds, and the difference is within their spread"


def _where(panel: Panel, ranked: Ranked) -> str:
    title = f" ({panel.title})" if panel.title else ""
    return f"On {panel.facets['dataset']} at L={ranked.seq_len}{title}"


def _absent(panel: Panel, ranked: Ranked) -> str:
    have = {line.label for line, _ in ranked.entries}
    absent = [line.label for line in panel.lines if line.label not in have]
    return f"; no number for {', '.join(absent)}" if absent else ""
